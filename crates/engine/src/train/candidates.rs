//! What is tried, and in which order: successive halving over families, settings, sizes and seeds.
//!
//! First the baselines and the models without a reservoir, which cost little. Then small reservoirs of every family,
//! many of them; the best third of those grows to full size; the best of the grown ones are put beside each other and
//! mixed, grow further where the series turned out to be free of noise, and are drawn again. Reservoirs inherit the
//! lags and the transform of the best linear model, because a reservoir that must not lose to lags has to be given
//! them. The list depends on the options, the data's size and the results alone, so that a seed and a number of
//! trials fix it, whatever the threads.

use super::draws;
use super::fit::Fitted;
use super::penalty::Hints;
use super::{Choice, Feeds, Task};
use crate::settings::Precision;
use crate::spec::{
    Base, BlockSettings, Family, LagForm, Lags, Mixing, Products, ReservoirSettings, Spec, Transform,
};
use spinwell_core::NumericProfile;

/// Features that lags may make at most: beyond it the factorisations take minutes and the rows rarely suffice.
const LAG_FEATURES_MAX: usize = 1400;

/// Recent lags, margin around the target phases, further rows back from the first one's phase.
const SMALL: (usize, usize, usize) = (24, 3, 4);
const LARGE: (usize, usize, usize) = (144, 48, 97);
/// Without a season the recent lags must carry more.
const SMALL_WITHOUT_SEASON: (usize, usize, usize) = (36, 0, 0);
/// Recent lags of a readout that all channels share, which can afford more of them.
const SHARED: [usize; 2] = [96, 336];

/// Past values multiplied, rows between them, factors: flows and maps of few dimensions, delayed feedback, and
/// long memories of a driving input.
const PRODUCTS: [(usize, usize, usize); 7] =
    [(2, 1, 3), (2, 1, 2), (4, 1, 2), (4, 6, 3), (10, 1, 2), (12, 1, 3), (20, 1, 2)];

/// Shares of the trials that remain for linear models and products, small reservoirs, grown ones; the rest is for
/// mixtures, larger ones and other seeds.
const SHARES: [f64; 4] = [0.33, 0.65, 0.5, 1.0];
/// Linear models and products are few by nature.
const CLOSED_FORM_MAX: usize = 15;

/// A candidate and where its penalties may be looked for.
#[derive(Debug, Clone)]
pub(super) struct Proposal {
    pub(super) spec: Spec,
    pub(super) hints: Hints,
}

/// The stages of a search.
#[derive(Debug)]
pub(super) struct Plan<'t> {
    task: Task<'t>,
    left: usize,
    stage: usize,
}

impl<'t> Plan<'t> {
    pub(super) fn new(task: &Task<'t>) -> Self {
        Self { task: *task, left: task.options.trials, stage: 0 }
    }

    /// Candidates still to come at most.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The naive forecasts.
    pub(super) fn baselines(&self) -> Vec<Proposal> {
        let mut specs = Vec::new();
        if self.task.options.feeds == Feeds::InputsAlone {
            specs.push(Spec::naive(Family::Mean, Base::Mean));
        } else {
            specs.push(Spec::naive(Family::Persistence, Base::Last));
            if self.task.season > 1 {
                specs.push(Spec::naive(Family::SeasonalNaive, Base::Season));
            }
        }
        specs.into_iter().map(|spec| Proposal { spec, hints: Hints::default() }).collect()
    }

    /// The next stage's candidates given all that were tried; `None` when the search is over.
    pub(super) fn next(&mut self, tried: &[Fitted]) -> Option<Vec<Proposal>> {
        let mut share = *SHARES.get(self.stage)?;
        self.stage += 1;
        let reservoirs = [Family::Echo, Family::Quantum, Family::Spiking].map(|family| self.draws(family));
        if !reservoirs.contains(&true) {
            share = 1.0;
        }
        let room = if self.left == 0 { 0 } else { ((self.left as f64 * share).round() as usize).max(1) };
        // A reservoir that was asked for is tried before everything else, where there is but one trial.
        let only =
            matches!(self.task.options.choice, Choice::Only(family) if !Self::wants_closed_forms(family));
        let room = if self.stage == 1 && only { room.min(self.left.saturating_sub(1)) } else { room };
        let mut proposals = match self.stage {
            1 => self.closed_forms(room.min(CLOSED_FORM_MAX)),
            2 => self.small_reservoirs(tried, room),
            3 => self.grown_reservoirs(tried, room),
            _ => self.last_stage(tried, room),
        };
        proposals.retain(|proposal| tried.iter().all(|fitted| !is_same(&fitted.spec, &proposal.spec)));
        proposals.truncate(room);
        let horizon = self.task.options.horizon;
        proposals.retain(|Proposal { spec, .. }| {
            spec.lags.depth() + horizon + 2 < self.task.folds.fit_end() / 2 || spec.lags.depth() == 1
        });
        self.left -= proposals.len();
        Some(proposals)
    }

    fn wants_closed_forms(family: Family) -> bool {
        family.is_naive() || [Family::Linear, Family::Ngrc].contains(&family)
    }

    fn wants(&self, family: Family) -> bool {
        match self.task.options.choice {
            Choice::Auto => true,
            Choice::Only(only) => only == family,
        }
    }

    /// Whether reservoirs of this family are of use: asked for, or parts of a hybrid that is.
    fn draws(&self, family: Family) -> bool {
        self.wants(family) || self.task.options.choice == Choice::Only(Family::Hybrid)
    }

    fn skip(&self) -> bool {
        self.task.options.settings.skip.unwrap_or(true)
    }

    fn profile(&self) -> NumericProfile {
        match self.task.options.precision {
            Precision::F64 => NumericProfile::CpuF64,
            Precision::Auto | Precision::F32 => NumericProfile::CpuF32,
        }
    }

    /// Candidates of each family that are tried without knowing how others do, reservoirs of a size.
    pub(super) fn examples(&self, size: draws::Size) -> Vec<Spec> {
        let linear = if self.skip() { self.linear() } else { Vec::new() };
        let per_channel = |spec: &&Spec| spec.lags.per_channel();
        let lags = linear.iter().filter(|spec| !spec.shared).min_by_key(per_channel);
        let lags = lags.map_or_else(Lags::none, |spec| spec.lags.clone());
        let drawn = [Family::Echo, Family::Spiking, Family::Quantum].into_iter();
        let reservoirs = drawn.filter(|&family| self.draws(family)).flat_map(|family| {
            let drawn = draws::examples(family, size).iter();
            drawn.filter_map(move |&index| Some((family, draws::block(&self.task, family, index, size)?)))
        });
        let reservoirs = reservoirs.map(|(family, block)| {
            let spec = self.spec(family, self.transforms()[0], lags.clone());
            Spec { blocks: vec![block], mixing: self.mixing(), ..spec }
        });
        let reservoirs: Vec<Spec> = reservoirs.collect();
        let products = if self.draws(Family::Ngrc) { self.products() } else { Vec::new() };
        let linear = if self.wants(Family::Linear) { linear } else { Vec::new() };
        [linear, products, reservoirs].concat()
    }

    /// Linear models, and products of recent values.
    fn closed_forms(&self, room: usize) -> Vec<Proposal> {
        let mut linear = if self.skip() { self.linear() } else { Vec::new() };
        let products = if self.draws(Family::Ngrc) { self.products() } else { Vec::new() };
        match self.task.options.choice {
            Choice::Auto | Choice::Only(Family::Linear) => {}
            Choice::Only(_) => linear.truncate((room / 2).max(1)),
        }
        let mut specs = Vec::new();
        // Both kinds alternate, so that few trials hold some of each.
        let (mut linear, mut products) = (linear.into_iter(), products.into_iter());
        loop {
            let next: Vec<Spec> = linear.by_ref().take(2).chain(products.next()).collect();
            if next.is_empty() {
                break;
            }
            specs.extend(next);
        }
        specs.into_iter().map(|spec| Proposal { spec, hints: Hints::default() }).collect()
    }

    /// The transforms that suit the data: a square root only where nothing was ever negative.
    fn transforms(&self) -> Vec<Transform> {
        let task = &self.task;
        if let Some(transform) = task.options.settings.transform {
            return vec![transform];
        }
        if task.is_never_negative() {
            vec![Transform::Identity, Transform::SquareRoot]
        } else {
            vec![Transform::Identity]
        }
    }

    fn base(&self) -> Base {
        if self.task.options.feeds == Feeds::Everything { Base::Last } else { Base::Mean }
    }

    fn spec(&self, family: Family, transform: Transform, lags: Lags) -> Spec {
        Spec {
            transform,
            base: self.base(),
            lags,
            profile: self.profile(),
            ..Spec::naive(family, Base::Mean)
        }
    }

    fn forms(&self) -> Vec<LagForm> {
        match self.task.options.settings.form {
            Some(form) => vec![form],
            None if self.task.options.feeds == Feeds::InputsAlone => vec![LagForm::Raw],
            None => vec![LagForm::Relative, LagForm::Raw],
        }
    }

    fn linear(&self) -> Vec<Spec> {
        let task = &self.task;
        let (options, season) = (task.options, task.season);
        let rows = task.folds.fit_end();
        let small = if season > 1 { SMALL } else { SMALL_WITHOUT_SEASON };
        let mut lags: Vec<(Lags, bool)> = Vec::new();
        let width = task.heard().len();
        for (recent, margin, back) in [small, LARGE] {
            let recent = options.settings.lags.unwrap_or_else(|| recent.min(rows / 10).max(1));
            for form in self.forms() {
                let candidate =
                    Lags::around_season(recent, season, options.horizon, margin, back.min(rows / 10), form);
                let features = candidate.per_channel() * width;
                if lags.iter().all(|(other, _)| *other != candidate)
                    && (lags.is_empty() || features <= LAG_FEATURES_MAX)
                {
                    lags.push((candidate, false));
                }
            }
        }
        if width > 1 && width == options.targets && options.settings.lags.is_none() {
            for recent in SHARED.into_iter().filter(|recent| recent * 4 < rows) {
                lags.push((Lags { recent, seasonal: Vec::new(), form: LagForm::Relative }, true));
            }
        }
        let transforms = self.transforms();
        let spec = |lags: &(Lags, bool), transform| Spec {
            shared: lags.1,
            ..self.spec(Family::Linear, transform, lags.0.clone())
        };
        lags.iter().flat_map(|lags| transforms.iter().map(move |&transform| spec(lags, transform))).collect()
    }

    fn products(&self) -> Vec<Spec> {
        let (settings, rows) = (&self.task.options.settings, self.task.folds.fit_end());
        let width = self.task.heard().len();
        let mut specs: Vec<Spec> = Vec::new();
        for (taps, stride, order) in PRODUCTS {
            let products = Products {
                taps: settings.taps.unwrap_or(taps),
                stride: settings.stride.unwrap_or(stride),
                order: settings.order.unwrap_or(order),
            };
            let features = products.features(width);
            let fits = features <= (rows / 4).min(LAG_FEATURES_MAX) || settings.taps.is_some();
            let recent = settings.lags.unwrap_or((products.taps - 1) * products.stride + 1);
            let lags = if self.skip() {
                Lags { recent, seasonal: Vec::new(), form: self.forms()[0] }
            } else {
                Lags::none()
            };
            let transform = self.transforms()[0];
            let spec = Spec { products: Some(products), ..self.spec(Family::Ngrc, transform, lags) };
            if fits && features <= crate::products::PRODUCTS_MAX && !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        specs
    }

    /// What reservoirs stand beside: the lags and the transform of the best linear model that is not shared.
    fn beside(&self, tried: &[Fitted], family: Family) -> Proposal {
        let plain = self.spec(family, self.transforms()[0], Lags::none());
        if !self.skip() {
            return Proposal { spec: plain, hints: Hints::default() };
        }
        let linear = |fitted: &&Fitted| fitted.spec.family == Family::Linear && !fitted.spec.shared;
        match best(tried.iter().filter(linear)) {
            Some(best) => Proposal {
                spec: Spec { family, profile: self.profile(), ..best.spec.clone() },
                hints: best.hints.clone(),
            },
            None => {
                let lags = self.linear().into_iter().next().map_or_else(Lags::none, |spec| spec.lags);
                Proposal { spec: Spec { lags, ..plain }, hints: Hints::default() }
            }
        }
    }

    /// Reservoirs beside lags are mixed with the lags alone and the naive forecasts, which costs next to nothing and
    /// saves the day where the series leaves what the reservoir was fitted to.
    fn mixing(&self) -> Mixing {
        let wanted = self.task.options.settings.mixing.unwrap_or(true);
        if wanted && self.skip() { Mixing::Power(16) } else { Mixing::Off }
    }

    fn small_reservoirs(&self, tried: &[Fitted], room: usize) -> Vec<Proposal> {
        let mut proposals = self.in_64_bits(tried, &[Family::Linear, Family::Ngrc]);
        let families = [Family::Echo, Family::Quantum, Family::Echo, Family::Spiking, Family::Echo];
        let families: Vec<Family> = families.into_iter().filter(|&family| self.draws(family)).collect();
        if families.is_empty() {
            return proposals;
        }
        let mut counts = [0usize; Family::ALL.len()];
        for family in families.into_iter().cycle().take(room.saturating_sub(proposals.len())) {
            let index = &mut counts[family as usize];
            let block = draws::block(&self.task, family, *index, draws::Size::Small);
            *index += 1;
            let Some(block) = block else { continue };
            let Proposal { spec, hints } = self.beside(tried, family);
            proposals
                .push(Proposal { spec: Spec { blocks: vec![block], mixing: self.mixing(), ..spec }, hints });
        }
        proposals
    }

    /// The best models without a reservoir once more, in 64 bits, where 32 left nothing to penalise.
    fn in_64_bits(&self, tried: &[Fitted], families: &[Family]) -> Vec<Proposal> {
        let of = |&family: &Family| best(tried.iter().filter(|fitted| fitted.spec.family == family));
        let noiseless = families.iter().filter_map(of).filter(|fitted| fitted.hints.touch_floor());
        noiseless
            .filter(|fitted| self.task.options.precision == Precision::Auto && self.draws(fitted.spec.family))
            .map(|fitted| Proposal {
                spec: Spec { profile: NumericProfile::CpuF64, ..fitted.spec.clone() },
                hints: fitted.hints.clone(),
            })
            .collect()
    }

    /// The best small reservoirs of each family at full size, in 64 bits where 32 left nothing to penalise.
    fn grown_reservoirs(&self, tried: &[Fitted], room: usize) -> Vec<Proposal> {
        let mut proposals = Vec::new();
        let families = [(Family::Echo, 3), (Family::Quantum, 1), (Family::Spiking, 1)];
        let alone = families.iter().filter(|&&(family, _)| self.draws(family)).count() == 1;
        for (family, places) in families {
            let mut of_family: Vec<&Fitted> = tried.iter().filter(|f| f.spec.family == family).collect();
            of_family.sort_by(|a, b| a.validation.nrmse.total_cmp(&b.validation.nrmse));
            let places = if alone { room.min((of_family.len() / 3).max(1)) } else { places };
            for fitted in of_family.into_iter().take(places) {
                proposals.push(self.grown(fitted, draws::Size::Full, 0));
            }
        }
        proposals
    }

    fn grown(&self, fitted: &Fitted, size: draws::Size, reseed: u64) -> Proposal {
        let mut spec = Spec { mixing: self.mixing(), ..fitted.spec.clone() };
        let noiseless = fitted.hints.touch_floor() && self.task.options.precision == Precision::Auto;
        if noiseless {
            spec.profile = NumericProfile::CpuF64;
        }
        for block in &mut spec.blocks {
            draws::grow(&self.task, block, size, noiseless);
            draws::reseed(block, reseed);
        }
        Proposal { spec, hints: fitted.hints.clone() }
    }

    /// Mixtures of the best blocks, the best one larger, and other seeds of it.
    fn last_stage(&self, tried: &[Fitted], room: usize) -> Vec<Proposal> {
        let mut proposals = self.in_64_bits(tried, &[Family::Linear, Family::Ngrc]);
        if self.wants(Family::Hybrid) {
            proposals.extend(self.hybrids(tried));
        }
        let families = [Family::Echo, Family::Quantum, Family::Spiking];
        let grown = tried.iter().filter(|f| families.contains(&f.spec.family) && self.wants(f.spec.family));
        if let Some(best) = best(grown) {
            if best.hints.touch_floor() {
                proposals.push(self.grown(best, draws::Size::Large, 0));
            }
            let missing = room.saturating_sub(proposals.len()).min(3);
            proposals.extend((1..=missing as u64).map(|seed| self.grown(best, draws::Size::Same, seed)));
        }
        proposals
    }

    fn hybrids(&self, tried: &[Fitted]) -> Vec<Proposal> {
        let of = |family| best(tried.iter().filter(move |f: &&Fitted| f.spec.family == family));
        let (echo, quantum, spiking, ngrc) =
            (of(Family::Echo), of(Family::Quantum), of(Family::Spiking), of(Family::Ngrc));
        let groups = [vec![echo, quantum, spiking], vec![echo, ngrc], vec![quantum, spiking], vec![echo]];
        let mut proposals: Vec<Proposal> = Vec::new();
        for group in groups {
            let parts: Vec<&Fitted> = group.into_iter().flatten().collect();
            // A coupling is kept only where it validates: the same blocks are tried without one as well.
            let couplings: &[bool] =
                if self.task.options.settings.coupled == Some(true) { &[false, true] } else { &[false] };
            for &coupled in couplings.iter().filter(|_| !parts.is_empty()) {
                let proposal = self.hybrid(tried, &parts, coupled);
                if proposals.iter().all(|other| other.spec != proposal.spec) {
                    proposals.push(proposal);
                }
            }
        }
        proposals
    }

    fn hybrid(&self, tried: &[Fitted], parts: &[&Fitted], coupled: bool) -> Proposal {
        let Proposal { mut spec, hints } = self.beside(tried, Family::Hybrid);
        let wanted = self.task.options.settings.mixing.unwrap_or(true);
        spec.mixing = if wanted { Mixing::Power(16) } else { Mixing::Off };
        let mut steps = vec![hints.of(0), hints.of(1), None];
        // Spiking blocks first: qubits may hear from those before them.
        let order = |part: &&&Fitted| part.spec.family != Family::Spiking;
        let mut parts: Vec<&&Fitted> = parts.iter().collect();
        parts.sort_by_key(order);
        for part in parts {
            if let Some(products) = part.spec.products {
                spec.products = Some(products);
                steps[2] = part.hints.of(2);
            }
            for block in &part.spec.blocks {
                let mut block: BlockSettings = block.clone();
                draws::shrink(&self.task, &mut block);
                if let (true, ReservoirSettings::Quantum(quantum)) = (coupled, &mut block.reservoir) {
                    quantum.drive = 0.5;
                }
                spec.blocks.push(block);
                steps.push(part.hints.of(3));
            }
            if part.spec.profile == NumericProfile::CpuF64 {
                spec.profile = NumericProfile::CpuF64;
            }
        }
        Proposal { spec, hints: Hints(steps) }
    }
}

/// Whether two specs differ at most in how their members are mixed, which validation decides.
fn is_same(a: &Spec, b: &Spec) -> bool {
    Spec { mixing: b.mixing, ..a.clone() } == *b
}

/// The one that validated best.
fn best<'f>(fitted: impl Iterator<Item = &'f Fitted>) -> Option<&'f Fitted> {
    fitted.min_by(|a, b| a.validation.nrmse.total_cmp(&b.validation.nrmse))
}
