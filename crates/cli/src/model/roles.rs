//! What a model's `serving.toml` makes of its versions, as the server that loads it reads it.

use serde_json::{Value, json};
use spinwell_core::{Code, Fault, ModelName, ModelVersion, Ratio};
use spinwell_node::{SETTINGS_FILE, Settings};
use std::path::Path;

/// What a version does for requests that name none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Role {
    /// It answers them.
    Default,
    /// It answers this share of them instead.
    Canary(Ratio),
    /// It hears this share of them beside.
    Shadow(Ratio),
}

impl Role {
    /// The role for scripts.
    pub(super) fn json(self) -> Value {
        match self {
            Role::Default => json!({"role": "default"}),
            Role::Canary(share) => json!({"role": "canary", "share": share.get()}),
            Role::Shadow(share) => json!({"role": "shadow", "share": share.get()}),
        }
    }
}

/// The roles of a model's versions.
pub(super) struct Roles {
    name: ModelName,
    settings: Settings,
}

impl Roles {
    /// Those that the file in a model's folder says; where there is none, the highest version answers.
    ///
    /// # Errors
    /// Where the file cannot be read or understood: a server would not load the model.
    pub(super) fn read(home: &Path, name: &ModelName) -> Result<Self, Fault> {
        Ok(Self { name: name.clone(), settings: Settings::read(home, name)? })
    }

    /// The version that answers where none is named, of these that can be served.
    pub(super) fn default_of(&self, versions: &[ModelVersion]) -> Option<ModelVersion> {
        self.settings.default.or_else(|| versions.iter().max().copied())
    }

    /// What a version does, of these that can be served. It may do two things, which no server would let it.
    pub(super) fn of(&self, version: ModelVersion, versions: &[ModelVersion]) -> Vec<Role> {
        let default = self.default_of(versions).filter(|default| *default == version).map(|_| Role::Default);
        let part = |part: Option<(ModelVersion, Ratio)>| part.filter(|(named, _)| *named == version);
        let canary = part(self.settings.canary).map(|(_, share)| Role::Canary(share));
        let shadow = part(self.settings.shadow).map(|(_, share)| Role::Shadow(share));
        [default, canary, shadow].into_iter().flatten().collect()
    }

    /// The keys that name a version, and the versions.
    pub(super) fn named(&self) -> Vec<(&'static str, ModelVersion)> {
        let Settings { default, canary, shadow, .. } = self.settings;
        let default = default.map(|version| ("traffic.default", version));
        let canary = canary.map(|(version, _)| ("traffic.canary", version));
        let shadow = shadow.map(|(version, _)| ("traffic.shadow", version));
        [default, canary, shadow].into_iter().flatten().collect()
    }

    /// A version that is named and is not among these, which can be served.
    pub(super) fn missing(&self, versions: &[ModelVersion]) -> Option<Fault> {
        let named = self.named();
        let (key, version) = named.iter().find(|(_, version)| !versions.contains(version))?;
        let name = &self.name;
        let text = format!("{name}/{SETTINGS_FILE} names {name}:{version} as {key}, which cannot be served");
        Some(Fault::new(Code::ConfigInvalid, text))
    }

    /// Whether versions may go and leave the others a file that can be followed.
    ///
    /// # Errors
    /// [`Code::OptionInvalid`] with the key that stands in the way, and what to do.
    pub(super) fn allow_removal(
        &self,
        removed: &[ModelVersion],
        present: &[ModelVersion],
    ) -> Result<(), Fault> {
        let (name, named) = (&self.name, self.named());
        if let Some((key, version)) = named.iter().find(|(_, version)| removed.contains(version)) {
            let text = format!(
                "{name}/{SETTINGS_FILE} names {name}:{version} as {key}: change or remove that key first, and have servers \
                 load the model; or remove all versions and the file with --all. Nothing was removed"
            );
            return Err(Fault::new(Code::OptionInvalid, text));
        }
        let left: Vec<_> = present.iter().copied().filter(|version| !removed.contains(version)).collect();
        let answers = self.default_of(&left);
        match named.iter().find(|(key, version)| *key != "traffic.default" && Some(*version) == answers) {
            None => Ok(()),
            Some((key, version)) => {
                let text = format!(
                    "{name}:{version} would be the highest version and answer, and {name}/{SETTINGS_FILE} names it as {key}: \
                     set traffic.default or remove that key first. Nothing was removed"
                );
                Err(Fault::new(Code::OptionInvalid, text))
            }
        }
    }

    /// What a version that is there now means for requests that name none, in a sentence.
    pub(super) fn effect(&self, version: ModelVersion, versions: &[ModelVersion]) -> String {
        let name = &self.name;
        let default = self.default_of(versions).unwrap_or(version);
        match self.of(version, versions)[..] {
            [Role::Default] => format!("{name}:{version} answers requests that name no version"),
            [Role::Canary(share)] => format!(
                "{name}:{version} is the canary: it answers a share of {} of the requests that name no version, \
                 {name}:{default} the others",
                share.get()
            ),
            [Role::Shadow(share)] => format!(
                "{name}:{version} is the shadow: it hears a share of {} of the requests that name no version, which \
                 {name}:{default} answers",
                share.get()
            ),
            [] => format!(
                "{name}:{version} answers only requests that name it; the others go to {name}:{default}{}",
                if self.settings.default.is_some() {
                    format!(", the default of {name}/{SETTINGS_FILE}")
                } else {
                    ", the highest version".to_owned()
                }
            ),
            _ => format!(
                "{name}/{SETTINGS_FILE} gives {name}:{version} two roles, and no server follows that: set traffic.default to \
                 another version"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(text: &str) -> Roles {
        let folder = tempfile::tempdir().unwrap();
        spinwell_runtime::files::write_atomically(&folder.path().join(SETTINGS_FILE), text.as_bytes())
            .unwrap();
        Roles::read(folder.path(), &"taxi".parse().unwrap()).unwrap()
    }

    const VERSIONS: [ModelVersion; 3] = [ModelVersion(1), ModelVersion(2), ModelVersion(3)];

    #[test]
    fn roles_are_what_the_file_says_and_the_highest_answers_where_it_says_nothing() {
        let check = |text: &str, wanted: [&[Role]; 3], missing: bool| {
            let roles = roles(&format!("[traffic]\n{text}"));
            assert_eq!(VERSIONS.map(|version| roles.of(version, &VERSIONS)), wanted, "{text}");
            assert_eq!(roles.missing(&VERSIONS).is_some(), missing, "{text}");
        };
        let half = Ratio::new(0.5).unwrap();
        let (default, canary, shadow) = (Role::Default, Role::Canary(half), Role::Shadow(half));
        check("", [&[], &[], &[default]], false);
        check("default = 1\ncanary = {version = 2, share = 0.5}", [&[default], &[canary], &[]], false);
        check("shadow = {version = 2, share = 0.5}", [&[], &[shadow], &[default]], false);
        check("canary = {version = 3, share = 0.5}", [&[], &[], &[default, canary]], false);
        check("canary = {version = 4, share = 0.5}", [&[], &[], &[default]], true);
    }

    #[test]
    fn a_version_that_is_named_stays_and_so_does_one_that_keeps_the_file_right() {
        let check = |text: &str, removed: u32, wanted: Option<&str>| {
            let found =
                roles(&format!("[traffic]\n{text}")).allow_removal(&[ModelVersion(removed)], &VERSIONS);
            match (found, wanted) {
                (Ok(()), None) => {}
                (Err(fault), Some(wanted)) => assert!(fault.message().contains(wanted), "{fault}"),
                (found, _) => panic!("{text}, {removed}: {found:?}"),
            }
        };
        check("", 3, None);
        check("default = 1", 1, Some("names taxi:1 as traffic.default"));
        check("default = 1", 2, None);
        check("default = 1\ncanary = {version = 2, share = 0.1}", 2, Some("as traffic.canary"));
        check("shadow = {version = 2, share = 0.1}", 2, Some("as traffic.shadow"));
        check("canary = {version = 2, share = 0.1}", 3, Some("taxi:2 would be the highest"));
        check("canary = {version = 2, share = 0.1}", 1, None);
    }
}
