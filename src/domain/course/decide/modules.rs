//! The modules of a course and their order.

use std::collections::HashSet;

use super::{
    Decision, changed, changed_text, check_course_fits, check_module_fits, is_permutation, place,
};
use crate::domain::course::{Course, CourseEvent, Module, ModulePatch};
use crate::domain::ids::ModuleId;
use crate::domain::refusal::Refusal;
use crate::domain::values::{self, Patch};

impl Course {
    pub(super) fn add_module(
        &self,
        id: &ModuleId,
        title: &str,
        summary: Option<&str>,
        position: Option<i64>,
    ) -> Decision {
        self.check_not_deleted("get a module")?;
        values::title(title)?;
        summary.map_or(Ok(()), |text| values::description(text, "summary"))?;
        let count = self.modules.len();
        let position = place(position, count, "must be from 0 to the number of modules")?;
        if count >= values::MAX_MODULES {
            return Err(Refusal::LimitExceeded { field: "modules", rule: "at most 200 a course" });
        }
        let module = Module {
            id: id.clone(),
            title: title.to_owned(),
            summary: summary.map(str::to_owned),
            ..Module::default()
        };
        self.check_fits_with(&module, 0)?;
        let Module { id: module_id, title, summary, .. } = module;
        Ok(vec![CourseEvent::ModuleAdded { module_id, title, summary, position }])
    }

    pub(super) fn update_module(&self, id: &ModuleId, patch: &ModulePatch) -> Decision {
        self.check_not_deleted("be changed")?;
        let module = self.module(id).ok_or(Refusal::ModuleNotFound)?;
        let title = changed_text(&patch.title, &module.title, "title", values::title)?;
        if let Patch::Set(text) = &patch.summary {
            values::description(text, "summary")?;
        }
        let summary = patch.summary.change(module.summary.as_ref());
        let state = changed(&patch.state, &module.state, "state")?;
        if title.is_none() && summary.is_none() && state.is_none() {
            return Ok(Vec::new());
        }
        let mut after = module.clone();
        after.title = title.clone().unwrap_or(after.title);
        after.summary = summary.clone().unwrap_or(after.summary);
        self.check_fits_with(&after, module.summary_bytes())?;
        let module_id = id.clone();
        Ok(vec![CourseEvent::ModuleDetailsChanged { module_id, title, summary, state }])
    }

    pub(super) fn remove_module(&self, id: &ModuleId) -> Decision {
        self.check_not_deleted("be changed")?;
        let module = self.module(id).ok_or(Refusal::ModuleNotFound)?;
        Ok(vec![CourseEvent::ModuleRemoved { module_id: module.id.clone() }])
    }

    pub(super) fn reorder_modules(&self, wanted: &[ModuleId]) -> Decision {
        self.check_not_deleted("be changed")?;
        let current: HashSet<&ModuleId> = self.modules.iter().map(|module| &module.id).collect();
        if !is_permutation(wanted, &current) {
            return Err(Refusal::OrderMismatch { field: "moduleIds", object: "module" });
        }
        if self.modules.iter().map(|module| &module.id).eq(wanted) {
            return Ok(Vec::new());
        }
        Ok(vec![CourseEvent::ModulesReordered { module_ids: wanted.to_vec() }])
    }

    /// Whether this course has room for `module` in the place of one whose summary took so many bytes.
    fn check_fits_with(&self, module: &Module, instead_of: usize) -> Result<(), Refusal> {
        check_module_fits(module.outgoing_bytes() + self.assessment_bytes(&module.id))?;
        check_course_fits(self.outgoing_bytes() - instead_of + module.summary_bytes())
    }
}
