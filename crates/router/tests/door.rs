//! What is registered at a door, through a real owner of households: the link goes out behind the record that it rests on, follows the
//! entry, and is sent again by the next owner until it is acknowledged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use common::{DeafTo, KEY, World};
use events::*;
use testkit::given;

const TOKEN: &str = "00112233445566778899aabbccddeeff";

fn of_the_household() -> Registration {
    Registration { household: "A".into(), travellers: vec![given::traveller_id(&format!("{TOKEN}-0000000000000001"))] }
}

fn link(grid: &str) -> (String, Option<IdentifierLink>) {
    let links = vec![Link { household: "A".into(), grid: grid.into() }];
    (format!("{TOKEN}/A"), Some(IdentifierLink { mandate: "m".into(), links, common: false }))
}

#[tokio::test]
async fn a_registration_becomes_a_link_that_follows_the_entry() {
    let mut world = World::new(DeafTo::Nothing).await;
    world.registers(of_the_household()).await;
    assert_eq!(world.links, [link("g1")]);
    let task = world.task(KEY);
    assert_eq!((task.answers[0].status, task.registered.len()), (200, 1));
    assert!(!task.registered[0].unsent, "what is acknowledged is not sent again");
    world.entry_changes(2, Some("g2")).await;
    assert_eq!(world.links[1..], [link("g2")]);
    world.entry_changes(3, None).await;
    assert_eq!(world.links[2..], [(format!("{TOKEN}/A"), None)]);
    assert_eq!(world.task(KEY).registered, []);
}

/// The owner before has written the record and was gone before the link was in the log.
#[tokio::test]
async fn the_next_owner_sends_what_may_not_have_been_sent() {
    let mut world = World::new(DeafTo::Nothing).await;
    world.registers(of_the_household()).await;
    let heard = world.task(KEY);
    let mut unheard = heard.clone();
    unheard.registered[0].unsent = true;
    let next = World::over(&unheard).await;
    assert_eq!(next.links, [link("g1")]);
    assert_eq!(next.task(KEY).registered, heard.registered, "and it is written down as sent");
    // The null control: what was acknowledged is not.
    assert_eq!(World::over(&heard).await.links, []);
}
