//! Who is connected: how many, from where, and who may be asked to leave.
//!
//! Owns the numbers of connections; what each is doing is its [`Seat`]'s. Where there is no room for one more, connections without a running request are closed, the least useful first: those that were never
//! used, then those that have been idle for longest. Of equally useful ones, those go first whose address has most of
//! them. So nobody keeps others out by holding connections open, or by opening them faster than others can speak.
//!
//! Invariants: no connection with a running request is chosen to make room; every connection that is open has a
//! [`Seat`], and gives it back when it ends in any way; an address is known as long as one of its seats is there, so
//! that its requests are counted together.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::limits::ConnectionLimits;
use crate::log;
use crate::seat::Seat;

/// Where there is no room, this part of the connections is closed at once: finding them takes a look at all.
const PART: u32 = 64;

/// How long to wait for room before looking again for idle connections.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// The log says at most once in this time that connections were closed for want of room.
const TELL_PAUSE: Duration = Duration::from_secs(60);

/// The clients of a server.
pub(crate) struct Clients {
    room: Arc<Semaphore>,
    most: u32,
    most_per_address: u32,
    most_requests: u32,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// Those that were not asked to leave.
    seats: HashMap<u64, Arc<Seat>>,
    addresses: HashMap<IpAddr, Address>,
    told: Option<Instant>,
}

/// What the connections of one address have together.
#[derive(Default)]
struct Address {
    /// Those that were not asked to leave.
    connections: u32,
    /// All of them: one that was asked to leave may begin a last request.
    seats: u32,
    requests: Arc<AtomicU32>,
}

/// Why a connection is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Clients {
    pub(crate) fn new(limits: &ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(limits.connections as usize)),
            most: limits.connections,
            most_per_address: limits.connections_per_address,
            most_requests: limits.requests_per_address,
            table: Mutex::default(),
        })
    }

    /// Waits until there is room for one more, and makes it where that is possible.
    pub(crate) async fn room(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
                return permit;
            }
            self.make_room(self.most / PART + 1, "connections");
            if let Ok(Ok(permit)) = timeout(ROOM_PAUSE, Arc::clone(&self.room).acquire_owned()).await {
                return permit;
            }
        }
    }

    /// Closes idle connections, at most `many`, and says how many it found.
    pub(crate) fn make_room(&self, many: u32, because: &str) -> usize {
        let mut table = self.lock();
        let closed = table.close_idle(many as usize, |_| true);
        if closed > 0 {
            table.tell(format_args!("closing idle connections: no room for others (`{because}`)"));
        }
        closed
    }

    /// Takes a client in. `permit` came from [`room`](Self::room).
    pub(crate) fn seat(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Seated, Crowded> {
        let address = peer.map(network);
        let mut table = self.lock();
        let mut requests = None;
        if let Some(address) = address {
            let most = self.most_per_address;
            if table.addresses.get(&address).is_some_and(|there| there.connections >= most) {
                let from_there = |seat: &Seat| seat.address == Some(address);
                let closed = table.close_idle((most / PART + 1) as usize, from_there);
                let what = if closed > 0 { "closing idle connections" } else { "refusing connections" };
                table.tell(format_args!("{what} from {address}: it has {most} (`connections-per-address`)"));
                if closed == 0 {
                    return Err(Crowded);
                }
            }
            let there = table.addresses.entry(address).or_default();
            there.connections += 1;
            there.seats += 1;
            requests = Some((Arc::clone(&there.requests), self.most_requests));
        }
        let number = table.next;
        table.next += 1;
        let seat = Arc::new(Seat::new(address, requests));
        table.seats.insert(number, Arc::clone(&seat));
        Ok(Seated { seat, number, clients: Arc::clone(self), _permit: permit })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All addresses of an IPv6 network of 64 bits are as easily had as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

impl Table {
    fn close_idle(&mut self, many: usize, of: impl Fn(&Seat) -> bool) -> usize {
        let mut idle: Vec<_> = self
            .seats
            .iter()
            .filter(|(_, seat)| of(seat))
            .filter_map(|(number, seat)| {
                let (used, since) = seat.idle()?;
                Some(Idle { used, others: Reverse(0), since, number: *number, address: seat.address })
            })
            .collect();
        // Not the number of all its connections: those that are busy take nobody's place in vain.
        let mut counts = HashMap::<_, usize>::new();
        for idle in &idle {
            *counts.entry((idle.used, idle.address)).or_default() += 1;
        }
        for idle in &mut idle {
            idle.others.0 = counts[&(idle.used, idle.address)];
        }
        if idle.len() > many {
            idle.select_nth_unstable(many);
            idle.truncate(many);
        }
        for idle in &idle {
            if let Some(seat) = self.release(idle.number) {
                seat.close();
            }
        }
        idle.len()
    }

    /// Stops counting a connection against what there is room for; `None` if that was done before.
    fn release(&mut self, number: u64) -> Option<Arc<Seat>> {
        let seat = self.seats.remove(&number)?;
        if let Some(there) = seat.address.and_then(|address| self.addresses.get_mut(&address)) {
            there.connections -= 1;
        }
        Some(seat)
    }

    /// Takes a seat back, once.
    fn remove(&mut self, number: u64, address: Option<IpAddr>) {
        self.release(number);
        if let Some(address) = address
            && let Some(there) = self.addresses.get_mut(&address)
        {
            there.seats -= 1;
            if there.seats == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    fn tell(&mut self, message: std::fmt::Arguments<'_>) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_PAUSE) {
            self.told = Some(Instant::now());
            log::write(log::Kind::Connections, message);
        }
    }
}

/// A connection that may be closed. The least of them goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Idle {
    /// It has answered a request.
    used: bool,
    /// Those of its address that are idle in the same way: a client that has just connected, and has not had the time
    /// to speak, is told by it from those who never will.
    others: Reverse<usize>,
    since: Instant,
    number: u64,
    address: Option<IpAddr>,
}

/// The right to be connected.
pub(crate) struct Seated {
    pub(crate) seat: Arc<Seat>,
    number: u64,
    clients: Arc<Clients>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.clients.lock().remove(self.number, self.seat.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seat::MAX_GIVEN_UP;

    fn clients(connections: u32, per_address: u32) -> Arc<Clients> {
        let limits = ConnectionLimits {
            connections,
            connections_per_address: per_address,
            ..ConnectionLimits::default()
        };
        Clients::new(&limits)
    }

    async fn seat(clients: &Arc<Clients>, address: &str) -> Result<Seated, Crowded> {
        let permit = clients.room().await;
        clients.seat(Some(address.parse().unwrap()), permit)
    }

    async fn is_closed(seated: &Seated) -> bool {
        timeout(Duration::ZERO, seated.seat.closed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_useful_connection_makes_room_and_a_busy_one_never() {
        let clients = clients(4, 4);
        let busy = seat(&clients, "10.0.0.1").await.unwrap();
        let _running = busy.seat.begin();
        let used = seat(&clients, "10.0.0.1").await.unwrap();
        drop(used.seat.begin());
        tokio::time::advance(Duration::from_secs(1)).await;
        let unused = seat(&clients, "10.0.0.1").await.unwrap();
        let newer = seat(&clients, "10.0.0.1").await.unwrap();
        assert_eq!(clients.make_room(1, "test"), 1);
        assert!(is_closed(&unused).await, "it was never used");
        assert_eq!(clients.make_room(5, "test"), 2);
        assert!(is_closed(&used).await && is_closed(&newer).await);
        assert!(!is_closed(&busy).await);
        assert_eq!(clients.make_room(5, "test"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_most_connections_that_never_spoke_loses_one_of_them() {
        let clients = clients(8, 8);
        let one = seat(&clients, "10.0.0.1").await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut many = Vec::new();
        for _ in 0..3 {
            many.push(seat(&clients, "10.0.0.2").await.unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // Busy and used ones are not counted.
        let two = [seat(&clients, "10.0.0.3").await.unwrap(), seat(&clients, "10.0.0.3").await.unwrap()];
        let _running = two[0].seat.begin();
        drop(two[1].seat.begin());
        for gone in &many[..2] {
            assert_eq!(clients.make_room(1, "test"), 1);
            assert!(is_closed(gone).await && !is_closed(&one).await);
        }
        // They have as few as the other now, and the oldest goes first.
        assert_eq!(clients.make_room(1, "test"), 1);
        assert!(is_closed(&one).await && !is_closed(&many[2]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_does_not_take_the_room_of_others() {
        let clients = clients(100, 2);
        let first = seat(&clients, "2001:db8::1").await.unwrap();
        let second = seat(&clients, "2001:db8::2").await.unwrap();
        let _requests = [first.seat.begin(), second.seat.begin()];
        assert_eq!(seat(&clients, "2001:db8::3").await.err(), Some(Crowded), "the same network");
        assert!(seat(&clients, "2001:db8:1::1").await.is_ok());
        drop(second);
        assert!(seat(&clients, "2001:db8::3").await.is_ok(), "a seat was given back");
        assert!(clients.lock().addresses.len() == 1 && clients.lock().seats.len() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_begins_while_its_connection_is_asked_to_leave_counts_for_its_address() {
        let limits = ConnectionLimits { requests_per_address: 1, ..ConnectionLimits::default() };
        let clients = Clients::new(&limits);
        let leaving = seat(&clients, "10.0.0.1").await.unwrap();
        assert_eq!(clients.make_room(1, "test"), 1);
        let last = leaving.seat.begin();
        assert_eq!(leaving.seat.crowded(), None);
        let next = seat(&clients, "10.0.0.1").await.unwrap();
        let refused = next.seat.begin();
        assert_eq!(next.seat.crowded(), Some(1));
        drop((last, leaving));
        assert_eq!(next.seat.crowded(), None);
        drop((refused, next));
        assert!(clients.lock().addresses.is_empty() && clients.lock().seats.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_only_gives_up_is_told_to_leave() {
        let clients = clients(1, 1);
        let fair = seat(&clients, "10.0.0.1").await.unwrap();
        for _ in 0..MAX_GIVEN_UP * 2 {
            let mut finished = fair.seat.begin();
            finished.finish();
            drop(fair.seat.begin());
        }
        assert!(!is_closed(&fair).await, "it lets as many finish");
        for _ in 0..2 {
            drop(fair.seat.begin());
        }
        assert!(is_closed(&fair).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_client_did_not_take_yet_keeps_a_connection() {
        let clients = clients(4, 4);
        let slow = seat(&clients, "10.0.0.1").await.unwrap();
        drop(slow.seat.begin());
        slow.seat.unwritten(true);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(clients.make_room(1, "test"), 0);
        assert_eq!(slow.seat.deadline(&ConnectionLimits::default()), None);
        assert!(!slow.seat.is_quiet(Duration::ZERO));
        slow.seat.unwritten(false);
        slow.seat.responded();
        assert!(!slow.seat.is_quiet(Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(slow.seat.is_quiet(Duration::from_secs(1)));
        assert_eq!(clients.make_room(1, "test"), 1);
    }
}
