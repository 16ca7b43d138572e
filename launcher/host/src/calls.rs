//! The calls of the interfaces: for each a function that defines them in a linker.
//!
//! Deliberately absent: which of them an application gets, which is decided where they are called.

/// `name = module as data, view`: the module of the bindings, whose data the view of the host gives.
macro_rules! interfaces {
    ($($name:ident = $package:ident::$interface:ident as $data:ident, $view:ident;)*) => { $(
        #[doc = concat!("`", stringify!($interface), "` of `wasi:", stringify!($package), "`.")]
        ///
        /// # Errors
        ///
        /// When it is defined already.
        pub fn $name(linker: &mut Linker<Host>) -> Result<()> {
            bindings::$package::$interface::add_to_linker::<_, $data>(linker, Host::$view)
        }
    )* };
}

/// `name = module as data, view`: the same, as an import that is there for one part alone.
macro_rules! own_interfaces {
    ($($name:ident = $package:ident::$interface:ident as $data:ident, $view:ident;)*) => { $(
        #[doc = concat!("`", stringify!($interface), "` of `wasi:", stringify!($package), "` for one part.")]
        ///
        /// # Errors
        ///
        /// When it is defined already.
        pub fn $name(import: &mut LinkerInstance<'_, Host>, part: PartIndex) -> Result<()> {
            bindings::$package::$interface::add_to_linker_instance::<_, $data>(import, part.$view())
        }
    )* };
}

/// WASI 0.2.
pub mod v02 {
    use wasmtime::Result;
    use wasmtime::component::{Linker, LinkerInstance};
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
    use wasmtime_wasi::p2::bindings;
    use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
    use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

    use crate::Host;
    use crate::part::PartIndex;

    interfaces! {
        wall_clock = clocks::wall_clock as WasiClocks, clocks;
        monotonic_clock = clocks::monotonic_clock as WasiClocks, clocks;
        random = random::random as WasiRandom, random;
        insecure = random::insecure as WasiRandom, random;
        insecure_seed = random::insecure_seed as WasiRandom, random;
        environment = cli::environment as WasiCli, cli;
        exit = cli::exit as WasiCli, cli;
        stdin = cli::stdin as WasiCli, cli;
        stdout = cli::stdout as WasiCli, cli;
        stderr = cli::stderr as WasiCli, cli;
        terminal_input = cli::terminal_input as WasiCli, cli;
        terminal_output = cli::terminal_output as WasiCli, cli;
        terminal_stdin = cli::terminal_stdin as WasiCli, cli;
        terminal_stdout = cli::terminal_stdout as WasiCli, cli;
        terminal_stderr = cli::terminal_stderr as WasiCli, cli;
        filesystem = filesystem::types as WasiFilesystem, filesystem;
        preopens = filesystem::preopens as WasiFilesystem, filesystem;
        instance_network = sockets::instance_network as WasiSockets, sockets;
        ip_name_lookup = sockets::ip_name_lookup as WasiSockets, sockets;
        tcp = sockets::tcp as WasiSockets, sockets;
        tcp_create_socket = sockets::tcp_create_socket as WasiSockets, sockets;
        udp = sockets::udp as WasiSockets, sockets;
        udp_create_socket = sockets::udp_create_socket as WasiSockets, sockets;
    }

    own_interfaces! {
        own_environment = cli::environment as WasiCli, cli;
        own_preopens = filesystem::preopens as WasiFilesystem, filesystem;
        own_tcp_create_socket = sockets::tcp_create_socket as WasiSockets, sockets;
        own_udp_create_socket = sockets::udp_create_socket as WasiSockets, sockets;
    }

    /// `network` of `wasi:sockets`, without its unstable functions.
    ///
    /// # Errors
    ///
    /// When it is defined already.
    pub fn network(linker: &mut Linker<Host>) -> Result<()> {
        let options = bindings::sockets::network::LinkOptions::default();
        bindings::sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, Host::sockets)
    }
}

/// WASI 0.3.
pub mod v03 {
    use wasmtime::Result;
    use wasmtime::component::{Linker, LinkerInstance};
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
    use wasmtime_wasi::p3::bindings;
    use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
    use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

    use crate::Host;
    use crate::part::PartIndex;

    interfaces! {
        system_clock = clocks::system_clock as WasiClocks, clocks;
        monotonic_clock = clocks::monotonic_clock as WasiClocks, clocks;
        random = random::random as WasiRandom, random;
        insecure = random::insecure as WasiRandom, random;
        insecure_seed = random::insecure_seed as WasiRandom, random;
        environment = cli::environment as WasiCli, cli;
        exit = cli::exit as WasiCli, cli;
        stdin = cli::stdin as WasiCli, cli;
        stdout = cli::stdout as WasiCli, cli;
        stderr = cli::stderr as WasiCli, cli;
        terminal_input = cli::terminal_input as WasiCli, cli;
        terminal_output = cli::terminal_output as WasiCli, cli;
        terminal_stdin = cli::terminal_stdin as WasiCli, cli;
        terminal_stdout = cli::terminal_stdout as WasiCli, cli;
        terminal_stderr = cli::terminal_stderr as WasiCli, cli;
        filesystem = filesystem::types as WasiFilesystem, filesystem;
        preopens = filesystem::preopens as WasiFilesystem, filesystem;
        ip_name_lookup = sockets::ip_name_lookup as WasiSockets, sockets;
        sockets = sockets::types as WasiSockets, sockets;
    }

    own_interfaces! {
        own_environment = cli::environment as WasiCli, cli;
        own_preopens = filesystem::preopens as WasiFilesystem, filesystem;
        own_ip_name_lookup = sockets::ip_name_lookup as WasiSockets, sockets;
        own_sockets = sockets::types as WasiSockets, sockets;
    }
}
