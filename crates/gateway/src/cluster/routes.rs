//! By which strategy nodes are chosen: one for the gateway, and others for models that have one of their own.
//!
//! A model is a route: what it costs to answer, and so what is worth looking at when a node is chosen, is a matter of the model.

use spinwell_core::{Code, Fault, ModelName};
use spinwell_policy::balance::Strategy;
use std::collections::BTreeMap;

/// The strategies of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// For the requests of models that have none of their own.
    pub usual: Strategy,
    /// Those of models that have one.
    pub own: BTreeMap<ModelName, Strategy>,
}

impl Routes {
    /// The strategy for the requests of a model.
    pub(super) fn of(&self, model: &ModelName) -> Strategy {
        self.own.get(model).copied().unwrap_or(self.usual)
    }

    /// A model has none of its own any more.
    ///
    /// # Errors
    /// Where it has none.
    pub(super) fn forget(&mut self, model: &ModelName) -> Result<(), Fault> {
        if self.own.remove(model).is_some() {
            return Ok(());
        }
        let known: Vec<&str> = self.own.keys().map(ModelName::as_str).collect();
        let known =
            if known.is_empty() { "none has".to_owned() } else { format!("{} have", known.join(", ")) };
        let message = format!("model {model} has no strategy of its own; {known}");
        Err(Fault::new(Code::RequestInvalid, message))
    }
}

/// The strategy of that name.
///
/// # Errors
/// Where there is none.
pub(super) fn strategy(name: &str) -> Result<Strategy, Fault> {
    Strategy::of_name(name).ok_or_else(|| {
        let all: Vec<_> = Strategy::ALL.iter().map(|strategy| strategy.as_str()).collect();
        let message = format!("there is no strategy {name:?}; there are {}", all.join(", "));
        Fault::new(Code::RequestInvalid, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_without_a_strategy_of_its_own_has_the_usual_one() {
        let (taxi, pump): (ModelName, ModelName) = ("taxi".parse().unwrap(), "pump".parse().unwrap());
        let mut routes = Routes::default();
        routes.own.insert(taxi.clone(), Strategy::Predictive);
        assert_eq!((routes.of(&taxi), routes.of(&pump)), (Strategy::Predictive, Strategy::default()));
        let unknown = routes.forget(&pump).unwrap_err();
        assert_eq!(unknown.code(), Code::RequestInvalid);
        assert!(unknown.message().contains("pump has no strategy of its own; taxi have"), "{unknown}");
        routes.forget(&taxi).unwrap();
        assert_eq!(routes.of(&taxi), Strategy::default());
        assert!(routes.forget(&taxi).unwrap_err().message().ends_with("none has"));
        assert_eq!(strategy("fastest").unwrap_err().code(), Code::RequestInvalid);
    }
}
