//! Documents made up from the schema: most are lawful, some are not quite, a few are noise.

use std::fmt::Write as _;

use async_graphql::parser::types::{BaseType, Type};
use serde_json::{Map, Value};

use super::shape::{Field, Kind, Shape, named};
use super::words::{self, Memory};
use crate::dice::Dice;

/// How deep selections go before only leaves are chosen.
const DEEP: u32 = 6;

/// A document with its variables.
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) variables: Map<String, Value>,
    pub(crate) root: &'static str,
}

/// Makes up documents.
pub(crate) struct Author<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) memory: &'a Memory,
    pub(crate) dice: &'a mut Dice,
    variables: Map<String, Value>,
    declared: String,
}

impl<'a> Author<'a> {
    pub(crate) fn new(shape: &'a Shape, memory: &'a Memory, dice: &'a mut Dice) -> Self {
        Self { shape, memory, dice, variables: Map::new(), declared: String::new() }
    }

    /// A new document.
    pub(crate) fn document(mut self) -> Document {
        let (root, keyword) = match self.dice.below(40) {
            0 => ("Subscription", "subscription"),
            1..=19 => ("Mutation", "mutation"),
            _ => ("Query", "query"),
        };
        let count = if self.dice.one_in(5) { 1 + self.dice.below(4) } else { 1 };
        let mut body = String::new();
        for number in 0..count {
            let fields = self.shape.fields(root);
            let mut field = &fields[self.dice.index(fields.len())];
            // Of what is for admins, and where there is nothing, less is asked.
            if ["DeadLetters", "Parked", "Preview"].iter().any(|word| field.name.contains(word)) {
                field = &fields[self.dice.index(fields.len())];
            }
            let _ = write!(body, " a{number}: ");
            self.field(field, 0, &mut body);
        }
        if root == "Query" && self.dice.one_in(20) {
            self.entities(&mut body);
        }
        let declared = std::mem::take(&mut self.declared);
        let declared = if declared.is_empty() { declared } else { format!("({declared})") };
        let mut text = format!("{keyword} Made{declared} {{{body} }}");
        if self.dice.one_in(15) {
            text = self.spoil(&text);
        }
        Document { text, variables: self.variables, root }
    }

    /// References of a gateway.
    fn entities(&mut self, body: &mut String) {
        let kinds =
            ["Course", "Module", "ModuleItem", "Enrollment", "User", "Assessment", "Node", "x"];
        let kind = kinds[self.dice.index(kinds.len())];
        let id = self.memory.scalar(self.dice, "ID", "id");
        let name = format!("v{}", self.variables.len());
        let reference =
            serde_json::json!([{ "__typename": kind, "id": id }, words::anything(self.dice)]);
        self.variables.insert(name.clone(), reference);
        let _ = write!(self.declared, " ${name}: [_Any!]!");
        let _ = write!(
            body,
            " _entities(representations: ${name}) {{ __typename ... on {kind} {{ id }} }}"
        );
    }

    fn field(&mut self, field: &Field, depth: u32, out: &mut String) {
        out.push_str(&field.name);
        let mut arguments = String::new();
        // A page goes one way.
        let away = if self.dice.one_in(3) { ["first", "after"] } else { ["last", "before"] };
        let both = self.dice.one_in(60);
        for argument in &field.arguments {
            if !both && away.contains(&argument.name.as_str()) {
                continue;
            }
            let by_id = field.arguments.iter().any(|argument| argument.name == "id");
            let left_out = match argument.name.as_str() {
                "id" => self.dice.one_in(12),
                "minPosition" | "asOf" | "after" | "before" => !self.dice.one_in(12),
                "code" | "courseId" | "studentId" if by_id => !self.dice.one_in(12),
                _ if argument.ty.nullable => !self.dice.one_in(3),
                _ => self.dice.one_in(200),
            };
            if left_out {
                continue;
            }
            let value = self.value(&argument.ty, &argument.name);
            let _ = write!(arguments, " {}: ", argument.name);
            if self.dice.one_in(2) {
                let name = format!("v{}", self.variables.len());
                let _ = write!(self.declared, " ${name}: {}", argument.ty);
                let _ = write!(arguments, "${name}");
                self.variables.insert(name, value);
            } else {
                self.literal(&value, named(&argument.ty), &mut arguments);
            }
        }
        if !arguments.is_empty() {
            let _ = write!(out, "({arguments} )");
        }
        match self.dice.below(60) {
            0 => out.push_str(" @skip(if: false)"),
            1 => out.push_str(" @include(if: false)"),
            _ => {}
        }
        self.selection(named(&field.ty), depth, out);
    }

    fn selection(&mut self, ty: &str, depth: u32, out: &mut String) {
        let Kind::Object(fields, implementors) = self.shape.kind(ty) else { return };
        out.push_str(" { __typename");
        // What is known can be asked about.
        if fields.iter().any(|field| field.name == "id") {
            out.push_str(" id");
        }
        let leaf = |field: &Field| !matches!(self.shape.kind(named(&field.ty)), Kind::Object(..));
        let mut choice: Vec<&Field> =
            fields.iter().filter(|field| depth < DEEP || leaf(field)).collect();
        // Payloads have all reads in them, and all of their mistakes.
        if !self.dice.one_in(6) {
            choice.retain(|field| field.name != "query");
        }
        self.dice.shuffle(&mut choice);
        let count = 1 + self.dice.index(5);
        for (number, field) in choice.into_iter().take(count).enumerate() {
            let _ = write!(out, " ");
            // Two of a name with other arguments would not merge.
            if !field.arguments.is_empty() && self.dice.one_in(10) {
                let _ = write!(out, "b{depth}{number}: ");
            }
            self.field(field, depth + 1, out);
        }
        if let Some(object) = implementors.get(self.dice.index(implementors.len().max(1))) {
            let _ = write!(out, " ... on {object}");
            self.selection(object, depth + 1, out);
        }
        out.push_str(" }");
    }

    fn value(&mut self, ty: &Type, field: &str) -> Value {
        if ty.nullable && self.dice.one_in(12) {
            return Value::Null;
        }
        match &ty.base {
            BaseType::List(inner) => {
                let count = match self.dice.below(12) {
                    0 => 0,
                    1 => 120,
                    _ => 1 + self.dice.below(3),
                };
                (0..count).map(|_| self.value(inner, field)).collect()
            }
            BaseType::Named(name) => match self.shape.kind(name) {
                Kind::Input(fields) => {
                    let mut object = Map::new();
                    for member in fields {
                        let wanted = !member.ty.nullable || self.dice.one_in(3);
                        if wanted && !self.dice.one_in(200) {
                            let value = self.value(&member.ty, &member.name);
                            object.insert(member.name.clone(), value);
                        }
                    }
                    if self.dice.one_in(150) {
                        object.insert("unheardOf".to_owned(), words::anything(self.dice));
                    }
                    Value::Object(object)
                }
                Kind::Enum(values) => Value::from(values[self.dice.index(values.len())].as_str()),
                Kind::Scalar | Kind::Object(..) => self.memory.scalar(self.dice, name, field),
            },
        }
    }

    /// A value as it is written in a document.
    fn literal(&self, value: &Value, ty: &str, out: &mut String) {
        match (value, self.shape.kind(ty)) {
            (Value::String(name), Kind::Enum(_)) => out.push_str(name),
            (Value::Array(entries), _) => {
                out.push('[');
                for entry in entries {
                    self.literal(entry, ty, out);
                    out.push(' ');
                }
                out.push(']');
            }
            (Value::Object(members), kind) => {
                out.push('{');
                for (name, member) in members {
                    let ty = match kind {
                        Kind::Input(fields) => fields.iter().find(|field| field.name == *name),
                        _ => None,
                    };
                    let _ = write!(out, " {name}: ");
                    self.literal(member, ty.map_or("JSON", |field| named(&field.ty)), out);
                }
                out.push('}');
            }
            (other, _) => out.push_str(&other.to_string()),
        }
    }

    /// Makes small mistakes in a text.
    fn spoil(&mut self, text: &str) -> String {
        const NOISE: [&str; 16] = [
            "{", "}", "(", ")", "\"", "\"\"\"", "$", "@", "...", "!", "\u{0}", "\u{feff}", "#",
            ":", "é", "fragment",
        ];
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..=self.dice.below(3) {
            let at = self.dice.index(letters.len().max(1)).min(letters.len());
            match self.dice.below(3) {
                0 if at < letters.len() => {
                    letters.remove(at);
                }
                1 => letters.truncate(at),
                _ => {
                    let noise = NOISE[self.dice.index(NOISE.len())];
                    letters.splice(at..at, noise.chars());
                }
            }
        }
        letters.into_iter().collect()
    }
}
