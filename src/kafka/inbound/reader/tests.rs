mod corpus;
mod properties;

use serde_json::json;

use super::*;

/// A record of which nothing is known but its value.
fn of_value(topic: InboundTopic, value: Option<&[u8]>) -> Incoming<'_> {
    Incoming { topic, partition: 0, offset: 0, timestamp: 0, headers: &[], key: None, value }
}

fn headers(headers: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

const USER: &[u8] = br#"{"userId":"u","eventId":"e"}"#;

#[test]
fn a_message_is_known_again_by_its_headers_wherever_it_lies() {
    let of_event = headers(&[("ce_source", "/users"), ("ce_id", "1")]);
    let first = Incoming { headers: &of_event, ..of_value(InboundTopic::UserCreation, Some(USER)) };
    let again = Incoming { topic: InboundTopic::UserUpdate, offset: 7, value: Some(b"{"), ..first };
    assert_eq!(identity(&first), identity(&again));
    assert_eq!(read(&first).unwrap().identity, identity(&first));
    for other in [
        &[("ce_source", "/users"), ("ce_id", "2")][..],
        &[("ce_source", "/user"), ("ce_id", "s1")],
        &[("ce_source", "/users")],
        &[("ce_id", "1")],
        &[("ce_source", "/users"), ("ce_id", "")],
        &[],
    ] {
        let other = headers(other);
        assert_ne!(identity(&Incoming { headers: &other, ..first }), identity(&first));
    }
    let broken =
        vec![("ce_source".to_owned(), b"/users".to_vec()), ("ce_id".to_owned(), vec![0xff])];
    let plain = Incoming { headers: &[], ..first };
    assert_eq!(identity(&Incoming { headers: &broken, ..first }), identity(&plain));
}

#[test]
fn without_headers_a_message_is_known_again_by_its_own_id_within_its_topic() {
    let of = |topic, value: &Value| {
        let value = value.to_string();
        let record = Incoming { offset: 3, ..of_value(topic, Some(value.as_bytes())) };
        if let Ok(message) = read(&record) {
            assert_eq!(message.identity, identity(&record));
        }
        identity(&record)
    };
    let creation = InboundTopic::UserCreation;
    let one = of(creation, &json!({ "userId": "u", "eventId": "e" }));
    for same in [
        json!({ "eventId": "e", "name": "poison, for it has no user" }),
        json!({ "event_id": " e ", "userId": "u" }),
        json!({ "messageId": "e", "userId": "u" }),
        json!({ "message_id": "e", "data": { "userId": "u" } }),
        json!({ "data": { "userId": "u", "eventId": "e" } }),
        json!({ "eventId": "e", "data": { "userId": "u", "eventId": "other" } }),
        json!({ "userId": "u", "eventId": { "$oid": "e" } }),
    ] {
        assert_eq!(of(creation, &same), one, "{same}");
    }
    for other in [json!({ "userId": "u", "eventId": "E" }), json!({ "userId": "u", "eventId": "" })]
    {
        assert_ne!(of(creation, &other), one, "{other}");
    }
    assert_ne!(of(InboundTopic::UserUpdate, &json!({ "userId": "u", "eventId": "e" })), one);
}

#[test]
fn else_a_message_is_known_again_by_where_it_lies_and_its_bytes() {
    let first = of_value(InboundTopic::UserCreation, Some(b"{}"));
    assert_eq!(identity(&first).len(), 64);
    assert_eq!(identity(&first), identity(&first));
    for other in [
        Incoming { topic: InboundTopic::UserUpdate, ..first },
        Incoming { partition: 1, ..first },
        Incoming { offset: 1, ..first },
        Incoming { timestamp: 1, ..first },
        Incoming { value: Some(b"{ }"), ..first },
        Incoming { value: Some(b""), ..first },
        Incoming { value: None, ..first },
    ] {
        assert_ne!(identity(&other), identity(&first));
    }
    let keyed = Incoming { key: Some(b"k"), ..first };
    assert_eq!(identity(&keyed), identity(&first));
}

fn stamp_of(topic: InboundTopic, value: &Value) -> Stamp {
    let of_event = headers(&[("ce_time", "2026-01-01T00:00:00Z")]);
    let value = value.to_string();
    let record = of_value(topic, Some(value.as_bytes()));
    read(&Incoming { headers: &of_event, timestamp: 5, ..record }).unwrap().stamp
}

#[test]
fn the_best_time_of_a_message_counts_wherever_it_stands() {
    let at = |value: Value| stamp_of(InboundTopic::UserCreation, &value).at;
    let of_event = 1_767_225_600_000;
    assert_eq!(at(json!({ "userId": "u" })), of_event);
    assert_eq!(at(json!({ "userId": "u", "updatedAt": "soon", "createdAt": 1e300 })), of_event);
    assert_eq!(at(json!({ "userId": "u", "created_at": 7, "data": { "userId": "u" } })), 7_000);
    let both = json!({ "userId": "u", "updatedAt": 9, "userData": { "createdAt": 7 } });
    assert_eq!(at(both), 9_000);
    let absurd = json!({ "userId": "u", "updatedAt": "x", "userData": { "createdAt": 7 } });
    assert_eq!(at(absurd), 7_000);
    let record = of_value(InboundTopic::UserCreation, Some(br#"{"userId":"u"}"#));
    assert_eq!(read(&Incoming { timestamp: 5, ..record }).unwrap().stamp.at, 5);
    assert_eq!(read(&Incoming { timestamp: i64::MIN, ..record }).unwrap().stamp.at, 0);
}

#[test]
fn the_version_of_an_object_is_a_whole_number_under_any_of_its_names() {
    let of = |value: Value| stamp_of(InboundTopic::UserCreation, &value).version;
    for (value, version) in [
        (json!({ "userId": "u" }), 0),
        (json!({ "userId": "u", "version": 3 }), 3),
        (json!({ "userId": "u", "__v": { "$numberLong": "4" } }), 4),
        (json!({ "userId": "u", "revision": "5" }), 5),
        (json!({ "userId": "u", "version": "1.0", "__v": 6 }), 6),
        (json!({ "userId": "u", "version": 1e300 }), 0),
        (json!({ "userId": "u", "version": u64::MAX }), 0),
    ] {
        assert_eq!(of(value.clone()), version, "{value}");
    }
}

#[test]
fn a_fact_without_a_time_of_its_own_has_that_of_the_record() {
    let value = br#"{"assessmentId":"a","studentId":"s","score":1}"#;
    let record = of_value(InboundTopic::GradingCompleted, Some(value));
    let message = read(&Incoming { timestamp: 1_767_225_600_000, ..record }).unwrap();
    let Report::Grade(grade) = message.report else { panic!("no grade") };
    assert_eq!(grade.graded_at.to_rfc3339(), "2026-01-01T00:00:00+00:00");
}

#[test]
fn ids_of_the_request_are_taken_where_they_are_lawful() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let lawful = headers(&[("ce_correlationid", "r-1"), ("traceparent", parent)]);
    let record = of_value(InboundTopic::UserCreation, Some(USER));
    let message = read(&Incoming { headers: &lawful, ..record }).unwrap();
    assert_eq!(message.correlation_id.as_deref(), Some("r-1"));
    assert_eq!(message.traceparent.as_deref(), Some(parent));
    let unlawful = headers(&[("ce_correlationid", "r 1\n"), ("traceparent", "00-1-2-01")]);
    let message = read(&Incoming { headers: &unlawful, ..record }).unwrap();
    assert_eq!((message.correlation_id, message.traceparent), (None, None));
}

#[test]
fn what_is_too_large_is_refused_unread() {
    let mut value = br#"{"userId":"u","more":""#.to_vec();
    value.resize(MAX_VALUE_BYTES - 2, b'x');
    value.extend(br#""}"#);
    let topic = InboundTopic::UserCreation;
    assert!(read(&of_value(topic, Some(&value))).is_ok());
    value.push(b' ');
    assert_eq!(read(&of_value(topic, Some(&value))), Err(Poison::TooLarge));
    value.resize(10 * MAX_VALUE_BYTES, b' ');
    for topic in InboundTopic::ALL {
        let begin = std::time::Instant::now();
        for _ in 0..1_000 {
            assert_eq!(read(&of_value(topic, Some(&value))), Err(Poison::TooLarge));
        }
        assert!(begin.elapsed().as_millis() < 1_000);
    }
    assert_eq!(identity(&of_value(topic, Some(&value))).len(), 64);
}

#[test]
fn large_whole_numbers_are_ids_in_digits() {
    for (number, id) in [
        ("1e21", "1000000000000000000000"),
        ("3.0", "3"),
        ("-0.0", "0"),
        ("18446744073709551615", "18446744073709551615"),
        ("9007199254740993", "9007199254740993"),
    ] {
        let value = format!(r#"{{"userId":{number}}}"#);
        let message = read(&of_value(InboundTopic::UserUpdate, Some(value.as_bytes()))).unwrap();
        let Report::User(user) = message.report else { panic!("no user") };
        assert_eq!(user.user.as_str(), id);
    }
}

#[test]
fn of_a_field_that_stands_twice_the_last_one_holds() {
    let value = br#"{"userId":"u","userId":"v"}"#;
    let message = read(&of_value(InboundTopic::UserUpdate, Some(value))).unwrap();
    let Report::User(user) = message.report else { panic!("no user") };
    assert_eq!(user.user.as_str(), "v");
}
