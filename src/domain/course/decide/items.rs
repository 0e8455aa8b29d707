//! The items of a module and their order. What changes here does not show in the course's own record, so the size of
//! the module is all that is looked at, and that without a copy of anything.

use std::collections::HashSet;

use super::reports::transcoded;
use super::{Decision, changed, changed_text, check_module_fits, is_permutation, place};
use crate::domain::course::{
    Course, CourseEvent, ItemKind, ItemPatch, Module, ModuleItem, NewItem, PublicationState,
};
use crate::domain::ids::{ItemId, ModuleId};
use crate::domain::refusal::Refusal;
use crate::domain::report::VideoResult;
use crate::domain::values::{self, Patch};

impl Course {
    pub(super) fn add_item(
        &self,
        module_id: &ModuleId,
        new: &NewItem,
        video: Option<&VideoResult>,
    ) -> Decision {
        self.check_not_deleted("be changed")?;
        let module = self.module(module_id).ok_or(Refusal::ModuleNotFound)?;
        values::title(&new.title)?;
        check_references(new)?;
        let count = module.items.len();
        let position = place(new.position, count, "must be from 0 to the number of items")?;
        if count >= values::MAX_ITEMS {
            return Err(Refusal::LimitExceeded { field: "items", rule: "at most 500 a module" });
        }
        let item = ModuleItem {
            id: new.id.clone(),
            kind: new.kind,
            title: new.title.clone(),
            required: new.required,
            state: PublicationState::Published,
            url: new.url.clone(),
            video_id: new.video_id.clone(),
            assessment_id: new.assessment_id.clone(),
            video: video.cloned(),
        };
        let others = module.outgoing_bytes() + self.assessment_bytes(module_id);
        check_module_fits(others + item.outgoing_bytes())?;
        let shown = new.video_id.as_ref().zip(video);
        let shown = shown.map(|(id, result)| transcoded(module_id, &item, id, result));
        let added = CourseEvent::ModuleItemAdded {
            module_id: module_id.clone(),
            item_id: item.id,
            kind: item.kind,
            title: item.title,
            required: item.required,
            position,
            url: item.url,
            video_id: item.video_id,
            assessment_id: item.assessment_id,
        };
        Ok([added].into_iter().chain(shown).collect())
    }

    pub(super) fn update_item(&self, id: &ItemId, patch: &ItemPatch) -> Decision {
        self.check_not_deleted("be changed")?;
        let (module, item) = self.known_item(id)?;
        let title = changed_text(&patch.title, &item.title, "title", values::title)?;
        let required = changed(&patch.required, &item.required, "required")?;
        match &patch.url {
            Patch::Clear if needs_url(item.kind) => {
                return Err(Refusal::invalid("url", "cannot be null: a FILE or LINK needs one"));
            }
            Patch::Keep | Patch::Clear => {}
            Patch::Set(text) => values::url(text)?,
        }
        let url = patch.url.change(item.url.as_ref());
        let state = changed(&patch.state, &item.state, "state")?;
        if title.is_none() && required.is_none() && url.is_none() && state.is_none() {
            return Ok(Vec::new());
        }
        let mut after = item.clone();
        after.title = title.clone().unwrap_or(after.title);
        after.url = url.clone().unwrap_or(after.url);
        let others =
            module.outgoing_bytes() + self.assessment_bytes(&module.id) - item.outgoing_bytes();
        check_module_fits(others + after.outgoing_bytes())?;
        let (module_id, item_id) = (module.id.clone(), id.clone());
        Ok(vec![CourseEvent::ModuleItemChanged { module_id, item_id, title, required, url, state }])
    }

    pub(super) fn remove_item(&self, id: &ItemId) -> Decision {
        self.check_not_deleted("be changed")?;
        let (module, item) = self.known_item(id)?;
        let (module_id, item_id) = (module.id.clone(), item.id.clone());
        Ok(vec![CourseEvent::ModuleItemRemoved { module_id, item_id }])
    }

    pub(super) fn reorder_items(&self, module_id: &ModuleId, wanted: &[ItemId]) -> Decision {
        self.check_not_deleted("be changed")?;
        let module = self.module(module_id).ok_or(Refusal::ModuleNotFound)?;
        let current: HashSet<&ItemId> = module.items.iter().map(|item| &item.id).collect();
        if !is_permutation(wanted, &current) {
            return Err(Refusal::OrderMismatch { field: "moduleItemIds", object: "item" });
        }
        if module.items.iter().map(|item| &item.id).eq(wanted) {
            return Ok(Vec::new());
        }
        let module_id = module_id.clone();
        Ok(vec![CourseEvent::ModuleItemsReordered { module_id, item_ids: wanted.to_vec() }])
    }

    fn known_item(&self, id: &ItemId) -> Result<(&Module, &ModuleItem), Refusal> {
        self.item(id).ok_or(Refusal::item_not_found())
    }
}

fn needs_url(kind: ItemKind) -> bool {
    match kind {
        ItemKind::File | ItemKind::Link => true,
        ItemKind::Page | ItemKind::Video | ItemKind::Assessment => false,
    }
}

/// What an item refers to is what its kind says: no more and no less, but any may have a URL.
fn check_references(new: &NewItem) -> Result<(), Refusal> {
    let video = new.kind == ItemKind::Video;
    if video != new.video_id.is_some() {
        let rule = if video { "is needed by a VIDEO" } else { "belongs to a VIDEO only" };
        return Err(Refusal::invalid("videoId", rule));
    }
    let assessment = new.kind == ItemKind::Assessment;
    if assessment != new.assessment_id.is_some() {
        let rule =
            if assessment { "is needed by an ASSESSMENT" } else { "belongs to an ASSESSMENT only" };
        return Err(Refusal::invalid("assessmentId", rule));
    }
    match &new.url {
        None if needs_url(new.kind) => Err(Refusal::invalid("url", "is needed by a FILE or LINK")),
        None => Ok(()),
        Some(text) => values::url(text),
    }
}
