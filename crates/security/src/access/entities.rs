//! Callers and things as Cedar sees them.

use crate::access::{Action, Kind, Resource};
use crate::identity::Identity;
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use std::collections::{HashMap, HashSet};
use std::str::FromStr as _;

/// Names of types, read once, and the groups that actions are in.
#[derive(Debug)]
pub(crate) struct World {
    user: EntityTypeName,
    role: EntityTypeName,
    kinds: HashMap<Kind, EntityTypeName>,
    actions: HashMap<Action, EntityUid>,
    groups: Entities,
    schema: Schema,
}

/// What this module hands to Cedar is made of the schema's own names; only a mistake in this crate makes it fail, and its
/// decision is then to deny.
pub(crate) type Unfit = Box<dyn std::error::Error + Send + Sync>;

impl World {
    pub(crate) fn new(schema: Schema) -> Result<Self, Unfit> {
        let name = |short: &str| -> Result<EntityTypeName, Unfit> {
            Ok(EntityTypeName::from_str(&format!("Spinwell::{short}"))?)
        };
        let kinds = Kind::ALL.into_iter().map(|kind| Ok((kind, name(kind.name())?)));
        let action = name("Action")?;
        let uid = |of: &Action| EntityUid::from_type_name_and_id(action.clone(), EntityId::new(of.name()));
        Ok(Self {
            user: name("User")?,
            role: name("Role")?,
            kinds: kinds.collect::<Result<_, Unfit>>()?,
            actions: Action::ALL.iter().map(|action| (*action, uid(action))).collect(),
            groups: schema.action_entities()?,
            schema,
        })
    }

    /// Whether this is the name of a caller.
    pub(crate) fn is_user(&self, uid: &EntityUid) -> bool {
        *uid.type_name() == self.user
    }

    /// A question and what must be known to answer it.
    pub(crate) fn ask(
        &self,
        who: &Identity,
        action: Action,
        resource: &Resource,
    ) -> Result<(Request, Entities), Unfit> {
        let grants = &who.grants;
        let roles = grants.roles().iter().map(|role| uid(&self.role, role)).collect();
        let tenant = RestrictedExpression::new_entity_uid(self.tenant(&grants.tenant().0));
        let user = uid(&self.user, &who.principal);
        let user_entity = Entity::new(user.clone(), HashMap::from([("tenant".to_owned(), tenant)]), roles)?;
        let thing = self.thing(resource)?;
        let request = Request::new(
            user,
            self.actions[&action].clone(),
            thing.uid(),
            Context::empty(),
            Some(&self.schema),
        )?;
        let entities = self.groups.clone().add_entities([user_entity, thing], None)?;
        Ok((request, entities))
    }

    fn thing(&self, resource: &Resource) -> Result<Entity, Unfit> {
        let id = match resource {
            Resource::Model { name, .. } | Resource::Sequence { model: name, .. } => name.as_str(),
            Resource::Region => "here",
            Resource::Tenant(tenant) => &tenant.0,
            Resource::Ledger(_) => "here",
        };
        let uid = uid(&self.kinds[&resource.kind()], id);
        if matches!(resource, Resource::Region | Resource::Tenant(_)) {
            return Ok(Entity::new_no_attrs(uid, HashSet::new()));
        }
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut attributes = HashMap::new();
        match resource {
            Resource::Model { name, .. } => {
                attributes.insert("name".to_owned(), text(name.as_str()));
            }
            Resource::Sequence { model, .. } => {
                attributes.insert("model".to_owned(), text(model.as_str()));
            }
            Resource::Region | Resource::Tenant(_) | Resource::Ledger(_) => {}
        }
        let owner = resource.tenant().map(|tenant| self.tenant(&tenant.0));
        if let Some(owner) = owner.clone() {
            attributes.insert("tenant".to_owned(), RestrictedExpression::new_entity_uid(owner));
        }
        Ok(Entity::new(uid, attributes, owner.into_iter().collect())?)
    }

    fn tenant(&self, name: &str) -> EntityUid {
        uid(&self.kinds[&Kind::Tenant], name)
    }
}

fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}
