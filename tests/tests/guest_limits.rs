//! Each limit on what a guest makes the host hold, from the recipe and from the command line to what a client sees.

use wadoo_tests::scratch::Scratch;
use wadoo_tests::server::Server;

/// Serves `guest` with `limits` in its recipe and on the command line.
fn serve(scratch: &Scratch, guest: &str, limits: &str, flags: &[&str]) -> Server {
    let artifact = scratch.compose(&scratch.recipe(guest, "", &format!("[limits]\n{limits}\n")));
    let flags = flags.iter().flat_map(|limit| ["--limit", limit]);
    Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]).args(flags))
}

#[test]
fn the_smaller_of_recipe_and_flag_holds() {
    let both = ["hostile-02", "hostile-03"].as_slice();
    for (guests, recipe, flag, fits, too_much) in [
        (both, "resources = 200", "resources=100", "/resources?n=60", "/resources?n=150"),
        (both, "handles = 300", "handles=150", "/resources?n=60", "/resources?n=250"),
        (both, "host-call = \"64KiB\"", "host-call=16KiB", "/big-header?kib=8", "/big-header?kib=24"),
        (&both[..1], "random = \"2KiB\"", "random=1KiB", "/random?bytes=1000", "/random?bytes=1500"),
        (&both[..1], "fields = \"16KiB\"", "fields=8KiB", "/big-header?kib=4", "/big-header?kib=12"),
    ] {
        for guest in guests {
            let scratch = Scratch::new();
            // By the recipe alone both fit: it is the flag that refuses one.
            for (flags, status) in [([].as_slice(), 200), (&[flag], 500)] {
                let server = serve(&scratch, guest, recipe, flags);
                assert_eq!(server.get(fits).status, 200, "{guest}, {recipe}, {flags:?}: {fits}");
                assert_eq!(server.get(too_much).status, status, "{guest}, {recipe}, {flags:?}: {too_much}");
                // It ended with that request.
                assert_eq!(server.get(fits).status, 200, "{guest}, {recipe}, {flags:?}: {fits} again");
            }
        }
    }
}

#[test]
fn what_a_recipe_limits_no_flag_raises() {
    for (recipe, flag, too_much) in [
        ("resources = 100", "resources=1000", "/resources?n=150"),
        ("handles = 100", "handles=1000", "/resources?n=150"),
        ("host-call = \"64KiB\"", "host-call=1GiB", "/big-header?kib=100"),
        ("random = \"1KiB\"", "random=1MiB", "/random?bytes=1500"),
    ] {
        let scratch = Scratch::new();
        let server = serve(&scratch, "hostile-02", recipe, &[flag]);
        assert_eq!(server.get(too_much).status, 500, "{recipe}");
        assert_eq!(server.get("/ok").status, 200, "{recipe}");
    }
}

#[test]
fn fields_beyond_their_limit_are_refused_to_the_guest() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hostile-03", "fields = \"16KiB\"", &["fields=8KiB"]);
    for (kib, answer) in [(4, "accepted\n"), (12, "refused\n")] {
        assert_eq!(server.get(&format!("/big-header?kib={kib}")).text(), answer);
    }
}
