//! The crate for guests, against a real store: a guest checks what it says. Its pure parts are tested in its own folder.

use stash_tests::GUEST_CRATE;
use stash_tests::support::Place;

#[test]
fn the_crate_for_guests_does_what_it_says() {
    let place = Place::new();
    for url in ["redb:store", "fjall:folder", "sqlite:file", "files:records", "memory:"] {
        let ran = place.stash(["run", "--store", url, "--id", "app/guest/001", GUEST_CRATE]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "ok\n"), "{url}: {}", ran.err);
    }
}
