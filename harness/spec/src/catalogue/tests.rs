use std::collections::BTreeSet;

use crate::*;

fn numbered(standard: Standard) -> Vec<&'static Clause> {
    Catalogue::iter(standard).filter(|clause| clause.origin == Origin::Numbered).collect()
}

#[test]
fn all_numbered_statements_of_both_standards_are_there() {
    assert_eq!(numbered(Standard::V3_1_1).len(), 141);
    assert_eq!(numbered(Standard::V5).len(), 251);
}

#[test]
fn chapters_have_as_many_statements_as_the_standards() {
    let count = |standard, chapter: &str| {
        numbered(standard).iter().filter(|clause| clause.id.starts_with(chapter)).count()
    };
    assert_eq!(count(Standard::V5, "MQTT-3.1."), 50);
    assert_eq!(count(Standard::V5, "MQTT-3.3."), 43);
    assert_eq!(count(Standard::V5, "MQTT-4."), 60);
    assert_eq!(count(Standard::V3_1_1, "MQTT-3.1."), 42);
    assert_eq!(count(Standard::V3_1_1, "MQTT-3.8."), 11);
    assert_eq!(count(Standard::V3_1_1, "MQTT-7."), 4);
}

#[test]
fn roles_are_shared_out_as_in_the_standards() {
    let count = |standard, role| numbered(standard).iter().filter(|clause| clause.role == role).count();
    let roles = [Roles::Server, Roles::Client, Roles::Both];
    assert_eq!(roles.map(|role| count(Standard::V5, role)), [118, 49, 84]);
    assert_eq!(roles.map(|role| count(Standard::V3_1_1, role)), [69, 35, 37]);
}

#[test]
fn rules_without_a_number_have_ids_of_our_own() {
    let ours = |standard, prefix: &str| {
        Catalogue::iter(standard)
            .filter(|clause| clause.origin != Origin::Numbered)
            .inspect(|clause| assert!(clause.id.starts_with(prefix), "{clause}"))
            .count()
    };
    assert_eq!(ours(Standard::V3_1, "U31-"), 35);
    assert_eq!(ours(Standard::V3_1_1, "U3-"), 17);
    assert_eq!(ours(Standard::V5, "U5-"), 144);
    assert!(Catalogue::get(Standard::V5, "U5-043").is_some_and(|clause| clause.area == Area::Wills));
    assert!(Catalogue::get(Standard::V3_1_1, "U5-043").is_none());
}

#[test]
fn every_role_level_and_origin_occurs_in_both_standards() {
    for standard in Standard::NUMBERED {
        let has = |test: &dyn Fn(&Clause) -> bool| Catalogue::iter(standard).any(test);
        for role in [Roles::Server, Roles::Client, Roles::Both] {
            assert!(has(&|clause| clause.role == role), "{standard} {role}");
        }
        for level in [Level::Must, Level::Should, Level::May] {
            assert!(has(&|clause| clause.level == level), "{standard} {level}");
        }
        for origin in [Origin::Numbered, Origin::Body, Origin::Choice, Origin::Inferred] {
            assert!(has(&|clause| clause.origin == origin), "{standard} {origin:?}");
        }
    }
}

#[test]
fn what_the_standard_leaves_open_is_not_required() {
    for clause in Standard::ALL.into_iter().flat_map(Catalogue::iter) {
        assert_eq!(clause.origin == Origin::Choice, clause.level == Level::May, "{clause}");
    }
}

#[test]
fn summaries_are_one_short_sentence() {
    for clause in Standard::ALL.into_iter().flat_map(Catalogue::iter) {
        let length = clause.summary.chars().count();
        assert!((20..=200).contains(&length), "{clause}: {length} characters");
        assert!(
            clause.summary.ends_with('.') && !clause.summary.contains('\n'),
            "{clause}: {}",
            clause.summary
        );
        assert!(
            clause.unobservable.is_none_or(|why| why.len() > 20 && why.ends_with('.')),
            "{clause}: a reason is a sentence"
        );
    }
}

#[test]
fn areas_are_those_that_reports_list() {
    let used: BTreeSet<Area> =
        Standard::ALL.into_iter().flat_map(Catalogue::iter).map(|clause| clause.area).collect();
    assert!(used.iter().eq(Area::ALL), "each area has a clause");
}

#[test]
fn counterparts_exist_in_their_standard() {
    for clause in Standard::ALL.into_iter().flat_map(Catalogue::iter) {
        for id in clause.counterparts.iter().chain(&clause.part_of) {
            let other = clause.standard.of_counterparts();
            assert!(Catalogue::get(other, id).is_some(), "{clause} names {id}");
        }
    }
}

#[test]
fn every_clause_links_to_its_section() {
    let anchors: BTreeSet<String> =
        Standard::NUMBERED.into_iter().flat_map(Catalogue::iter).map(Clause::link).collect();
    assert!(anchors.iter().all(|link| link.contains("-os.html#_Toc")), "{anchors:?}");
    let link = |standard, id| Catalogue::get(standard, id).map(Clause::link);
    let will = "https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901040";
    assert_eq!(link(Standard::V5, "MQTT-3.1.2-8").as_deref(), Some(will));
    let connect_header = "https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html#_Toc398718030";
    assert_eq!(link(Standard::V3_1_1, "MQTT-3.1.2-8").as_deref(), Some(connect_header));
    assert!(Catalogue::iter(Standard::V3_1).all(|clause| clause.link().contains("mqtt-v3r1.html#")));
}

#[test]
fn one_number_means_different_rules_in_the_two_standards() {
    let area = |standard| Catalogue::get(standard, "MQTT-3.1.2-22").map(|clause| clause.area);
    assert_eq!(area(Standard::V5), Some(Area::KeepAlive));
    assert_eq!(area(Standard::V3_1_1), Some(Area::Connect));
}

#[test]
fn an_unknown_id_suggests_the_counterpart_or_the_nearest_spelling() {
    let nearest = |standard, id| Catalogue::nearest(standard, id).map(|clause| clause.id);
    assert_eq!(nearest(Standard::V5, "MQTT-2.3.1-5"), Some("MQTT-2.2.1-2"));
    assert_eq!(nearest(Standard::V5, "MQTT-3.1.2.8"), Some("MQTT-3.1.2-8"));
    assert_eq!(nearest(Standard::V5, "MQTT-4.2.0-1"), Some("MQTT-4.2-1"), "the spelling of Appendix B");
    assert_eq!(nearest(Standard::V5, "mqtt-4.4.0-1"), Some("MQTT-4.4.0-1"));
    assert_eq!(nearest(Standard::V5, "MQTT-3.1.2-8"), None, "an id that exists needs no suggestion");
    assert_eq!(nearest(Standard::V5, "RFC 3629"), None);
}

#[test]
fn standards_are_read_as_scenario_files_write_them() {
    assert_eq!("5".parse(), Ok(Standard::V5));
    assert_eq!("3.1.1".parse(), Ok(Standard::V3_1_1));
    assert_eq!("3.1".parse(), Ok(Standard::V3_1));
    assert!("3".parse::<Standard>().is_err());
    assert!(Standard::ALL.into_iter().all(|standard| standard.to_string().parse() == Ok(standard)));
}

#[test]
fn coverage_tells_gaps_from_what_cannot_be_shown() {
    let coverage =
        Coverage::of(Standard::V5, Roles::Server, ["MQTT-3.1.2-8", "MQTT-4.6.0-1", "MQTT-9.9.9-9"]);
    assert_eq!(coverage.cited.iter().map(|clause| clause.id).collect::<Vec<_>>(), ["MQTT-3.1.2-8"]);
    assert_eq!(coverage.unknown.iter().collect::<Vec<_>>(), ["MQTT-9.9.9-9"]);
    let why = |id| coverage.uncited.iter().find(|(clause, _)| clause.id == id).map(|(_, why)| *why);
    assert_eq!(why("MQTT-3.1.2-10"), Some(Uncited::Missing));
    assert!(matches!(why("MQTT-4.9.0-1"), Some(Uncited::Unobservable(_))));
    assert_eq!(
        why("MQTT-4.6.0-2"),
        None,
        "the order of a Client's PUBACK packets is no business of a broker's suite"
    );
    assert_eq!(why("MQTT-3.1.0-1"), Some(Uncited::Missing), "a Client's rule that the Server has to check");
    assert!(coverage.missing().all(|clause| clause.unobservable.is_none()));
}

#[test]
fn coverage_of_both_roles_sorts_every_clause() {
    for standard in Standard::ALL {
        let coverage = Coverage::of(standard, Roles::Both, []);
        assert_eq!(coverage.uncited.len(), Catalogue::iter(standard).count());
    }
}
