//! Histories of people whom the registry learns to know, or has elsewhere than before: registered at the door, and households that are
//! renamed, split and merged.

use super::{FAMILY, History, Step, c, h, outcome, t, to};
use events::{Code, Outcome};

/// Registered at the door, instead of or beside an import: variants of 12 to 14, and what an import says afterwards.
pub fn at_the_door() -> Vec<History> {
    use Code::*;
    use Step::*;
    let history = |number, title, steps| History { number, title, steps };
    let meets = |steps: Vec<Step>| {
        let mut all = vec![FAMILY, See(to(c("c", &["id:x", "phone:y"], 0.0), "g2", None), Opened), Open(&["g2"])];
        all.extend(steps);
        all
    };
    vec![
        history(
            112,
            "an unknown person in a known car, registered where the car is at home",
            vec![
                FAMILY,
                See(c("c-0", &["id:x"], 0.0), Unresolved),
                See(c("c-1", &["id:x", "plate:c1"], 0.1), Opened),
                Register("c-1", "A"),
                Now("c-0", Joined),
                See(c("c-2", &["id:x", "phone:new"], 1.0), Joined),
                Visits(1),
                Open(&["g1"]),
            ],
        ),
        history(
            113,
            "an unknown person with a destination is registered elsewhere at the door before anyone was screened",
            meets(vec![Register("c", "A"), Now("c", Opened), Open(&["g1"]), Visits(2), See(c("c-1", &["id:x"], 1.0), Joined)]),
        ),
        history(
            114,
            "the same, but screened first: the cover goes along",
            meets(vec![
                outcome("c", Outcome::Screened, 1.0),
                Register("c", "A"),
                Now("c", Opened),
                Open(&[]),
                See(to(c("c-3", &["id:x", "phone:y"], 3.0), "g2", None), Covered),
                See(h("h-3", &["plate:c1"], 3.5), Opened),
                See(c("c-4", &["id:x"], 4.0), Joined),
                Visits(2),
                Open(&["g1"]),
            ]),
        ),
        history(
            115,
            "registered twice, it is registered once",
            meets(vec![Register("c", "A"), Open(&["g1"]), Register("c", "A"), Now("c", Opened), Visits(2), Open(&["g1"])]),
        ),
        history(
            116,
            "an import says otherwise afterwards: the declared grid chooses between the two",
            meets(vec![
                Register("c", "A"),
                Open(&["g1"]),
                Registry(&[("id:p1", "A"), ("id:x", "B")]),
                Now("c", Opened),
                Open(&["g2"]),
                Visits(3),
            ]),
        ),
        history(
            117,
            "an import says otherwise afterwards: a car narrows the two, and who has nothing else waits where everybody can see it",
            vec![
                FAMILY,
                See(c("c-1", &["id:x", "plate:c1"], 0.0), Opened),
                See(c("c-2", &["id:x"], 0.2), Unresolved),
                Register("c-1", "A"),
                Now("c-2", Joined),
                Registry(&[("id:p1", "A"), ("plate:c1", "A"), ("id:x", "B")]),
                Now("c-2", Unresolved),
                Now("c-1", Opened),
                Open(&["g1"]),
                Visits(1),
            ],
        ),
        history(
            118,
            "an import that does not know them leaves what was registered at the door",
            meets(vec![
                Register("c", "A"),
                Open(&["g1"]),
                Registry(&[("id:p1", "A"), ("id:q1", "B")]),
                See(c("c-1", &["id:x"], 1.0), Joined),
                Open(&["g1"]),
            ]),
        ),
        history(
            119,
            "a family of four in one car is registered at once",
            vec![
                FAMILY,
                See(to(c("c1", &["id:x1", "plate:z"], 0.0), "g2", Some("新村12号")), Opened),
                See(to(c("c2", &["id:x2", "plate:z"], 0.0), "g2", Some("新村12号")), Joined),
                See(to(c("c3", &["id:x3", "plate:z"], 0.0), "g2", Some("新村12号")), Joined),
                See(to(c("c4", &["id:x4", "plate:z"], 0.0), "g2", Some("新村12号")), Joined),
                See(h("h", &["plate:c1"], 0.1), Opened),
                Register("c1", "A"),
                Open(&["g1"]),
                Now("c1", Joined),
                Visits(2),
                See(c("c5", &["id:x3"], 1.0), Joined),
                Visits(2),
            ],
        ),
        history(
            120,
            "registered at the wrong door, then at the right one: the first takes it back",
            meets(vec![
                Register("c", "A"),
                Open(&["g1"]),
                Register("c", "B"),
                Now("c", Opened),
                Open(&["g2"]),
                See(c("c-1", &["id:x"], 1.0), Joined),
                Visits(3),
            ]),
        ),
    ]
}

/// Households that are renamed, split and merged: nobody screened is asked again, nobody unasked is lost. A phone that no later register
/// has shows, where nothing else does, that the register is in force.
pub fn moving() -> Vec<History> {
    use Code::*;
    use Step::*;
    let history = |number, title, steps| History { number, title, steps };
    /// Everybody of A is of A9, in the same grid.
    const RENAMED: Step = Registry(&[("id:p1", "A9"), ("id:p2", "A9"), ("id:q1", "B")]);
    /// A is two: one in its grid, one in B's.
    const SPLIT: Step = Registry(&[("id:p1", "A1"), ("id:p2", "R2"), ("id:q1", "B")]);
    /// A and B are one.
    const MERGED: Step = Registry(&[("id:p1", "M"), ("id:p2", "M"), ("id:q1", "M")]);
    let both_seen = |steps: Vec<Step>| {
        let mut all = vec![FAMILY, See(c("c1", &["id:p1"], 0.0), Opened), See(c("c2", &["id:p2"], 0.2), Joined)];
        all.extend(steps);
        all
    };
    vec![
        history(
            130,
            "a household is renamed before anybody came",
            vec![
                FAMILY,
                See(c("c1", &["id:p1"], 0.0), Opened),
                See(t("t", &["phone:f1"], 0.3), Joined),
                RENAMED,
                Now("t", Unresolved),
                Open(&["g1"]),
                Visits(2),
                See(c("c3", &["id:p2"], 1.0), Joined),
                Visits(2),
            ],
        ),
        history(
            131,
            "a household is renamed after it was screened",
            both_seen(vec![
                outcome("c1", Outcome::Screened, 1.0),
                See(t("t", &["phone:f1"], 1.2), Covered),
                Registry(&[("id:p1", "R"), ("id:p2", "R"), ("id:q1", "B")]),
                Now("t", Unresolved),
                Open(&[]),
                See(c("c3", &["id:p1"], 3.0), Covered),
                See(c("c4", &["id:p2"], 14.9), Covered),
                Now("c1", Opened),
                Now("c2", Joined),
                See(c("c5", &["id:p2"], 15.0), Opened),
                Open(&["g2"]),
                Visits(2),
            ]),
        ),
        history(
            132,
            "a household is renamed, and the screening of the old one comes later, from a phone that was offline",
            both_seen(vec![
                Registry(&[("id:p1", "R"), ("id:p2", "R"), ("id:q1", "B")]),
                Open(&["g2"]),
                outcome("c1", Outcome::Screened, 0.5),
                Open(&[]),
                Now("c1", Covered),
                Now("c2", Covered),
                Visits(2),
            ]),
        ),
        history(
            133,
            "a household is split before anybody came: both halves are visited",
            both_seen(vec![SPLIT, Open(&["g1", "g2"]), Now("c1", Opened), Now("c2", Opened), Visits(3)]),
        ),
        history(
            134,
            "a household is split after it was screened: nobody of either half is asked again",
            both_seen(vec![
                outcome("c1", Outcome::Screened, 1.0),
                See(t("t", &["phone:f1"], 1.2), Covered),
                SPLIT,
                Now("t", Unresolved),
                Now("c1", Opened),
                Open(&[]),
                See(c("c3", &["id:p1"], 3.0), Covered),
                See(c("c4", &["id:p2"], 3.0), Covered),
                Visits(1),
                See(c("c5", &["id:p2"], 15.0), Opened),
                Open(&["g2"]),
                Visits(2),
            ]),
        ),
        history(
            135,
            "a household is split, and the screening of the whole comes later, from a phone that was offline",
            both_seen(vec![
                SPLIT,
                Open(&["g1", "g2"]),
                outcome("c1", Outcome::Screened, 0.5),
                Open(&[]),
                Now("c1", Covered),
                Now("c2", Covered),
                Visits(3),
            ]),
        ),
        history(
            136,
            "who was only answered by the old household's screening is asked where they live",
            vec![
                FAMILY,
                See(c("c1", &["id:p1"], 0.0), Opened),
                outcome("c1", Outcome::Screened, 1.0),
                See(c("c2", &["id:p2"], 2.0), Covered),
                SPLIT,
                Now("c2", Opened),
                Open(&["g2"]),
                See(c("c3", &["id:p1"], 3.0), Covered),
                Visits(2),
            ],
        ),
        history(
            137,
            "a household that is to be visited goes into another that is",
            vec![
                FAMILY,
                See(c("c1", &["id:p1"], 0.0), Opened),
                See(c("c2", &["id:q1"], 0.1), Opened),
                Open(&["g1", "g2"]),
                Registry(&[("id:p1", "B"), ("id:p2", "B"), ("id:q1", "B")]),
                Open(&["g2"]),
                Now("c1", Joined),
                Visits(2),
                See(c("c3", &["id:p1"], 1.0), Joined),
                See(c("c4", &["id:q1"], 1.1), Joined),
                Visits(2),
            ],
        ),
        history(
            138,
            "a screened household and one that is not become one: who was not asked is",
            vec![
                FAMILY,
                See(c("c1", &["id:p1"], 0.0), Opened),
                outcome("c1", Outcome::Screened, 1.0),
                See(c("c2", &["id:q1"], 1.1), Opened),
                See(t("t", &["phone:f1"], 1.2), Covered),
                MERGED,
                Now("t", Unresolved),
                Now("c2", Opened),
                Open(&["g2"]),
                See(c("c3", &["id:p1"], 3.0), Covered),
                See(c("c4", &["id:q1"], 3.1), Joined),
                Visits(3),
            ],
        ),
        history(
            139,
            "a screened household goes into one that is to be visited",
            vec![
                FAMILY,
                See(c("c1", &["id:p1"], 0.0), Opened),
                outcome("c1", Outcome::Screened, 1.0),
                See(c("c2", &["id:q1"], 1.1), Opened),
                See(t("t", &["phone:f1"], 1.2), Covered),
                Registry(&[("id:p1", "B"), ("id:p2", "B"), ("id:q1", "B")]),
                Now("t", Unresolved),
                Now("c1", Opened),
                See(c("c3", &["id:p1"], 3.0), Covered),
                Now("c2", Opened),
                Open(&["g2"]),
                See(c("c4", &["id:p1"], 15.0), Joined),
                Visits(2),
            ],
        ),
        history(
            140,
            "a household that was renamed comes back under its old name",
            both_seen(vec![
                outcome("c1", Outcome::Screened, 1.0),
                RENAMED,
                Open(&[]),
                FAMILY,
                See(c("c3", &["id:p1"], 3.0), Covered),
                See(c("c4", &["id:p2"], 3.0), Covered),
                Open(&[]),
                Visits(1),
            ]),
        ),
        history(
            141,
            "who was registered at the door of a household that goes is where they were before",
            vec![
                FAMILY,
                See(to(c("c", &["id:x", "phone:y"], 0.0), "g2", None), Opened),
                Register("c", "A"),
                Open(&["g1"]),
                RENAMED,
                Now("c", Opened),
                Open(&["g2"]),
            ],
        ),
    ]
}
