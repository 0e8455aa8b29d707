//! Whatever comes, the reader answers.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::corpus::{files, messages};
use super::*;

/// Stands in values, and so never in a refusal.
const MARKER: &str = "Zx9marker";

const NAMES: &[&str] = &[
    "data",
    "payload",
    "userData",
    "user",
    "changes",
    "updatedFields",
    "assessmentData",
    "assessment",
    "submissionData",
    "submission",
    "gradingData",
    "grading",
    "videoData",
    "video",
    "userId",
    "id",
    "_id",
    "name",
    "displayName",
    "fullName",
    "firstName",
    "last_name",
    "username",
    "email",
    "role",
    "roles",
    "active",
    "status",
    "assessmentId",
    "quizId",
    "courseId",
    "course",
    "moduleId",
    "title",
    "type",
    "maxScore",
    "weight",
    "dueAt",
    "required",
    "submissionId",
    "studentId",
    "student",
    "submittedAt",
    "attempt",
    "score",
    "grade",
    "percentage",
    "letter",
    "gradedAt",
    "gradedBy",
    "videoId",
    "url",
    "renditions",
    "duration",
    "durationMs",
    "thumbnailUrl",
    "error",
    "eventId",
    "updatedAt",
    "version",
    "__v",
    "$oid",
    "$date",
    "$numberLong",
    "specversion",
    "quality",
    "height",
    "bitrate",
    "message",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (1_u32..100).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(&["u-17", "7", "NaN", "a\0b", "", " ", "FAILED", "true", "2026-09-12T08:00:00Z", "é"][..])
            .prop_map(Value::from),
        Just(Value::from("x".repeat(3_000))),
        Just(Value::from(MARKER)),
    ]
}

/// Any JSON, of names that the reader knows and of others.
fn json_value() -> impl Strategy<Value = Value> {
    let name = prop_oneof![4 => select(NAMES).prop_map(str::to_owned), 1 => any::<String>()];
    scalar().prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Value::Array),
            3 => vec((name.clone(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// An object that has the ids that each topic needs, so that other fields are looked at.
fn object_with_ids() -> impl Strategy<Value = Value> {
    let fields = vec((select(NAMES), json_value()), 0..10);
    fields.prop_map(|fields| {
        let mut object: Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for name in ["userId", "assessmentId", "courseId", "submissionId", "videoId"] {
            object.insert(name.to_owned(), Value::from("x-1"));
        }
        Value::Object(object)
    })
}

fn any_topic() -> impl Strategy<Value = InboundTopic> {
    select(&InboundTopic::ALL[..])
}

/// Reads twice and says what came of it; everything that holds of any record is asserted.
fn check(topic: InboundTopic, value: Option<&[u8]>) -> Result<(), TestCaseError> {
    let record = of_value(topic, value);
    let first = read(&record);
    prop_assert_eq!(&first, &read(&record));
    prop_assert_eq!(identity(&record).len(), 64);
    match first {
        Ok(message) => {
            prop_assert_eq!(&message.identity, &identity(&record));
            prop_assert!(!crate::kafka::inbound::summary(&message).contains('\n'));
            check_texts(&message.report)?;
        }
        Err(poison) => {
            let text = poison.to_string();
            prop_assert!(!text.is_empty() && !text.ends_with(' ') && !text.contains(MARKER));
            let debug = format!("{poison:?}");
            prop_assert!(!debug.contains(MARKER));
            prop_assert!(poison.code().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
            prop_assert_eq!(poison.field().is_some(), poison.code().ends_with("_FIELD"));
        }
    }
    Ok(())
}

/// No text is blank, too long for the database or holds U+0000; no number is without a meaning.
fn check_texts(report: &Report) -> Result<(), TestCaseError> {
    let mut texts: Vec<(&str, usize)> = Vec::new();
    let mut numbers: Vec<f64> = Vec::new();
    match report {
        Report::User(user) => {
            for (patch, most) in [(&user.display_name, 255 * 4), (&user.email, 320)] {
                if let crate::domain::values::Patch::Set(text) = patch {
                    texts.push((&text.0, most));
                }
            }
            texts.extend(user.role.as_deref().map(|role| (role, 64)));
        }
        Report::Assessment(assessment) => {
            texts.extend(assessment.title.as_deref().map(|title| (title, 255 * 4)));
            numbers.extend(assessment.max_score.into_iter().chain(assessment.weight));
        }
        Report::Submission(submission) => {
            prop_assert!(submission.attempt.is_none_or(|n| (1..=10_000).contains(&n)));
        }
        Report::Grade(grade) => {
            prop_assert!(
                grade.score.is_some() || grade.percentage.is_some() || grade.letter.is_some()
            );
            texts.extend(grade.letter.as_deref().map(|letter| (letter, 32)));
            numbers.extend([grade.score, grade.max_score, grade.percentage].into_iter().flatten());
        }
        Report::Transcoding(video) => match &video.result {
            crate::domain::report::VideoResult::Ready { playback_url, renditions, .. } => {
                texts.extend(playback_url.as_deref().map(|url| (url, 2_048)));
                texts.extend(renditions.iter().map(|one| (one.url.as_str(), 2_048)));
                texts.extend(renditions.iter().map(|one| (one.quality.as_str(), 64)));
                prop_assert!(renditions.len() <= 32);
            }
            crate::domain::report::VideoResult::Failed { reason } => {
                texts.extend(reason.as_deref().map(|reason| (reason, 1_024)));
            }
        },
    }
    for (text, most) in texts {
        prop_assert!(
            !text.trim().is_empty() && text.len() <= most && !text.contains('\0'),
            "{text:?}"
        );
    }
    prop_assert!(numbers.iter().all(|number| number.is_finite()));
    Ok(())
}

/// The same value with the fields of every object in another order.
fn reversed(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev();
            let fields =
                fields.map(|(name, value)| format!("{} :{}", json!(name), reversed(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => {
            format!("[{} ]", list.iter().map(reversed).collect::<Vec<_>>().join(" ,"))
        }
        scalar => scalar.to_string(),
    }
}

fn corpus(topic: InboundTopic) -> Vec<Vec<u8>> {
    files(topic).iter().flat_map(|file| messages(file)).collect()
}

proptest! {
    #[test]
    fn any_bytes_are_answered(topic in any_topic(), bytes in vec(any::<u8>(), 0..200)) {
        check(topic, Some(&bytes))?;
    }

    #[test]
    fn any_json_is_answered(topic in any_topic(), value in json_value()) {
        check(topic, Some(value.to_string().as_bytes()))?;
    }

    #[test]
    fn any_object_with_ids_is_answered(topic in any_topic(), value in object_with_ids()) {
        check(topic, Some(value.to_string().as_bytes()))?;
    }

    #[test]
    fn the_order_of_fields_and_white_space_make_no_difference(topic in any_topic(), value in object_with_ids()) {
        let (text, other) = (value.to_string(), reversed(&value));
        let one = read(&of_value(topic, Some(text.as_bytes())));
        let other = read(&of_value(topic, Some(other.as_bytes())));
        prop_assert_eq!(one.as_ref().map(|one| one.stamp), other.as_ref().map(|other| other.stamp));
        prop_assert_eq!(one.map(|one| one.report), other.map(|other| other.report));
    }

    #[test]
    fn examples_cut_off_or_changed_are_answered(
        topic in any_topic(), which: Index, end: Index, at: Index, byte: u8, truncate: bool
    ) {
        let corpus = corpus(topic);
        let mut message = corpus[which.index(corpus.len())].clone();
        if truncate {
            message.truncate(end.index(message.len() + 1));
        } else if !message.is_empty() {
            let at = at.index(message.len());
            message[at] = byte;
        }
        check(topic, Some(&message))?;
    }

    #[test]
    fn a_refusal_never_quotes_the_message(topic in any_topic(), which: Index, name in select(NAMES), more in json_value()) {
        let corpus = corpus(topic);
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(&corpus[which.index(corpus.len())]) else {
            return Ok(());
        };
        fields.insert(name.to_owned(), json!([MARKER, more, { MARKER: MARKER }]));
        check(topic, Some(Value::Object(fields).to_string().as_bytes()))?;
    }

    #[test]
    fn any_headers_are_answered(
        topic in any_topic(),
        values in vec((select(&["ce_id", "ce_source", "ce_time", "traceparent", "ce_correlationid"][..]), vec(any::<u8>(), 0..60)), 0..6),
        timestamp: i64
    ) {
        let headers: Vec<_> = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let record = Incoming { headers: &headers, timestamp, ..of_value(topic, Some(b"{\"userId\":1,\"assessmentId\":1,\"courseId\":1,\"submissionId\":1,\"videoId\":1,\"score\":1}")) };
        prop_assert!(read(&record).is_ok());
        prop_assert_eq!(read(&record), read(&record));
    }
}

#[test]
fn every_topic_refuses_what_is_no_object() {
    for topic in InboundTopic::ALL {
        let code = |value: Option<&[u8]>| read(&of_value(topic, value)).unwrap_err().code();
        assert_eq!(code(None), "EMPTY_VALUE");
        assert_eq!(code(Some(b"")), "EMPTY_VALUE");
        assert_eq!(code(Some(b" ")), "NOT_JSON");
        assert_eq!(code(Some(b"null")), "NOT_AN_OBJECT");
        assert_eq!(code(Some(b"[]")), "NOT_AN_OBJECT");
        assert_eq!(code(Some(b"{\"a\":\"\xff\"}")), "NOT_JSON");
        assert_eq!(code(Some(b"{}{}")), "NOT_JSON");
        assert_eq!(code(Some(b"{}")), "MISSING_FIELD");
        assert_eq!(code(Some("{\"data\":".repeat(500_000).as_bytes())), "TOO_LARGE");
        assert_eq!(code(Some("[".repeat(500_000).as_bytes())), "NOT_JSON");
        assert_eq!(code(Some("{\"data\":".repeat(100_000).as_bytes())), "NOT_JSON");
    }
}
