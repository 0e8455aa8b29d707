//! What may be asked of the modules of a course and their items, lawful and not.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{patch, text};
use crate::domain::Course;
use crate::domain::course::{
    CourseAction, CourseEvent, ItemKind, ItemPatch, ModulePatch, NewItem, PublicationState,
};
use crate::domain::ids::{AssessmentId, ItemId, ModuleId, VideoId};
use crate::domain::registration::Changes;

/// Modules and items are named by their place among those that there are; a place too far names none.
#[derive(Debug, Clone)]
pub(super) enum Content {
    AddModule { title: String, summary: Option<String>, position: Option<i64> },
    UpdateModule { module: usize, patch: ModulePatch },
    RemoveModule { module: usize },
    ReorderModules(Order),
    AddItem { module: usize, item: NewItem },
    UpdateItem { item: usize, patch: ItemPatch },
    RemoveItem { item: usize },
    ReorderItems { module: usize, order: Order },
}

/// A new order: by these keys, and with a mistake or not.
#[derive(Debug, Clone)]
pub(super) struct Order {
    keys: Vec<u8>,
    mistake: Option<Mistake>,
}

#[derive(Debug, Clone)]
enum Mistake {
    LeftOut,
    Twice,
    Foreign,
    InsteadOf,
}

impl Order {
    fn of<I: Clone>(&self, ids: Vec<I>, foreign: I) -> Vec<I> {
        let mut keyed: Vec<_> = self.keys.iter().cycle().zip(ids).collect();
        keyed.sort_by_key(|(key, _)| **key);
        let mut ids: Vec<I> = keyed.into_iter().map(|(_, id)| id).collect();
        match self.mistake {
            None => {}
            Some(Mistake::LeftOut) => drop(ids.pop()),
            Some(Mistake::Twice) => ids.extend(ids.first().cloned()),
            Some(Mistake::Foreign) => ids.push(foreign),
            Some(Mistake::InsteadOf) => {
                ids.pop();
                ids.extend(ids.first().cloned());
            }
        }
        ids
    }
}

fn order() -> impl Strategy<Value = Order> {
    let mistakes = vec![Mistake::LeftOut, Mistake::Twice, Mistake::Foreign, Mistake::InsteadOf];
    (vec(any::<u8>(), 1..8), option::weighted(0.2, select(mistakes)))
        .prop_map(|(keys, mistake)| Order { keys, mistake })
}

fn position() -> impl Strategy<Value = Option<i64>> {
    option::of(prop_oneof![
        4 => 0..6_i64,
        1 => select(vec![-1, i64::MIN, i64::MAX, 1 << 32]),
    ])
}

fn url() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(vec!["https://example.org/a", "http://b"]).prop_map(str::to_owned),
        2 => (1_900..2_060_usize).prop_map(|more| format!("https://example.org/{}", "x".repeat(more))),
        1 => text(),
    ]
}

fn states() -> impl Strategy<Value = PublicationState> {
    select(vec![PublicationState::Published, PublicationState::Unpublished])
}

/// Mostly what its kind needs.
fn item() -> impl Strategy<Value = NewItem> {
    let kinds =
        vec![ItemKind::Page, ItemKind::Video, ItemKind::Assessment, ItemKind::File, ItemKind::Link];
    let seldom = || prop::bool::weighted(0.05);
    let wrong = (seldom(), seldom());
    (select(kinds), text(), any::<bool>(), position(), option::weighted(0.7, url()), wrong)
        .prop_map(|(kind, title, required, position, url, (no_video, no_assessment))| {
            let video = VideoId::parse("v", "videoId").unwrap();
            let assessment = AssessmentId::parse("a", "assessmentId").unwrap();
            NewItem {
                id: ItemId::default(),
                kind,
                title,
                required,
                position,
                url,
                video_id: ((kind == ItemKind::Video) != no_video).then_some(video),
                assessment_id: ((kind == ItemKind::Assessment) != no_assessment)
                    .then_some(assessment),
            }
        })
}

pub(super) fn content() -> impl Strategy<Value = Content> {
    let module_patch = (patch(text()), patch(text()), patch(states()))
        .prop_map(|(title, summary, state)| ModulePatch { title, summary, state });
    let item_patch = (patch(text()), patch(any::<bool>()), patch(url()), patch(states()))
        .prop_map(|(title, required, url, state)| ItemPatch { title, required, url, state });
    let module = || 0..4_usize;
    let some_item = || 0..8_usize;
    prop_oneof![
        5 => (text(), option::of(text()), position()).prop_map(|(title, summary, position)| {
            Content::AddModule { title, summary, position }
        }),
        4 => (module(), module_patch)
            .prop_map(|(module, patch)| Content::UpdateModule { module, patch }),
        2 => module().prop_map(|module| Content::RemoveModule { module }),
        3 => order().prop_map(Content::ReorderModules),
        12 => (module(), item()).prop_map(|(module, item)| Content::AddItem { module, item }),
        6 => (some_item(), item_patch)
            .prop_map(|(item, patch)| Content::UpdateItem { item, patch }),
        2 => some_item().prop_map(|item| Content::RemoveItem { item }),
        4 => (module(), order()).prop_map(|(module, order)| Content::ReorderItems { module, order }),
    ]
}

impl Content {
    /// Said again it changes nothing.
    pub(super) fn repeatable(&self) -> bool {
        match self {
            Self::AddModule { .. }
            | Self::RemoveModule { .. }
            | Self::ReorderModules(_)
            | Self::AddItem { .. }
            | Self::RemoveItem { .. }
            | Self::ReorderItems { .. } => false, // the places mean others then
            Self::UpdateModule { .. } | Self::UpdateItem { .. } => true,
        }
    }

    /// What this is on `course`. Its version makes new ids: none comes twice.
    pub(super) fn action(self, course: &Course) -> CourseAction {
        let new = format!("new{}", course.version);
        let (new_module, new_item) =
            (ModuleId::parse(&new, "id").unwrap(), ItemId::parse(&new, "id").unwrap());
        let module_id = |place: usize| {
            course.modules.get(place).map_or_else(|| new_module.clone(), |m| m.id.clone())
        };
        let item_id = |place: usize| {
            let mut items = course.modules.iter().flat_map(|module| &module.items);
            items.nth(place).map_or_else(|| new_item.clone(), |item| item.id.clone())
        };
        match self {
            Self::AddModule { title, summary, position } => {
                CourseAction::AddModule { module_id: new_module, title, summary, position }
            }
            Self::UpdateModule { module, patch } => {
                CourseAction::UpdateModule { module_id: module_id(module), patch }
            }
            Self::RemoveModule { module } => {
                CourseAction::RemoveModule { module_id: module_id(module) }
            }
            Self::ReorderModules(order) => {
                let ids = course.modules.iter().map(|module| module.id.clone()).collect();
                CourseAction::ReorderModules { module_ids: order.of(ids, new_module) }
            }
            Self::AddItem { module, item } => {
                let item = Box::new(NewItem { id: new_item.clone(), ..item });
                CourseAction::AddItem { module_id: module_id(module), item, video: None }
            }
            Self::UpdateItem { item, patch } => {
                CourseAction::UpdateItem { item_id: item_id(item), patch }
            }
            Self::RemoveItem { item } => CourseAction::RemoveItem { item_id: item_id(item) },
            Self::ReorderItems { module, order } => {
                let items = course.modules.get(module).map(|module| module.items.as_slice());
                let ids = items.unwrap_or_default().iter().map(|item| item.id.clone()).collect();
                let item_ids = order.of(ids, new_item.clone());
                CourseAction::ReorderItems { module_id: module_id(module), item_ids }
            }
        }
    }
}

/// Two modules: the record of the first has room for hardly another item.
pub(super) fn nearly_full() -> Changes {
    let module_id = |id: &str| ModuleId::parse(id, "id").unwrap();
    let modules = ["full", "empty"].map(|id| CourseEvent::ModuleAdded {
        module_id: module_id(id),
        title: id.to_owned(),
        summary: None,
        position: 0,
    });
    let items = (0..144_u32).map(|position| CourseEvent::ModuleItemAdded {
        module_id: module_id("full"),
        item_id: ItemId::parse(&format!("t{position}"), "id").unwrap(),
        kind: ItemKind::Page,
        title: "\u{1}".repeat(255),
        required: true,
        position,
        url: None,
        video_id: None,
        assessment_id: None,
    });
    Changes { course: modules.into_iter().chain(items).collect(), ..Changes::default() }
}
