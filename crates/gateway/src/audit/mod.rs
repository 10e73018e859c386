//! Writes what becomes of requests to this gateway's ledger, and hands out receipts.
//!
//! The record of a prediction is in the ledger before its answer leaves; where it cannot be, the request fails. Of inputs and outputs the
//! ledger gets commitments only, which bind it to them for whoever has the key.

mod events;

use crate::commitment;
use spinwell_core::{
    BatchCall, BatchCallPhase, Code, Fault, Micros, Millis, Outcome, ResultClass, Series, TenantId,
    UnixMicros,
};
use spinwell_ledger::{Commitments, NoReceiptId, Prediction, PredictionResult, Receipt, ReceiptId};
use spinwell_policy::refused_acts::RefusedActs;
use spinwell_protocol::InferReply;
use spinwell_runtime::at_rest::Veil;
use spinwell_runtime::clock;
use spinwell_store::ledger::{Copier, CopyCounts, Counts, LedgerError, Writer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How long a caller waits whose record the ledger could not take.
const RETRY: Millis = Millis(1000);

/// A gateway's ledger.
pub struct Audit {
    name: String,
    writer: Writer,
    commitments: Commitments,
    /// Up to which entry each witness has cosigned.
    witnessed: Mutex<BTreeMap<String, u64>>,
    copier: Option<Copier>,
    /// What hides who is named.
    veil: Veil,
    refused_acts: Mutex<RefusedActs>,
    began: Instant,
}

/// What binds a record to what was asked and answered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bound {
    pub(crate) input: Option<[u8; 32]>,
    pub(crate) output: Option<[u8; 32]>,
}

/// Who is named in a record, as its texts stand there.
#[derive(Debug)]
pub(crate) struct Names {
    principal: String,
    request_id: String,
    sequence: String,
}

/// Figures of a ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LedgerCounts {
    pub(crate) records: u64,
    pub(crate) records_signed: u64,
    pub(crate) entries: u64,
    pub(crate) entries_signed: u64,
    pub(crate) counts: Counts,
    /// Refused acts that have no event of their own.
    pub(crate) refused_acts_left_out: u64,
    pub(crate) is_ready: bool,
}

impl Audit {
    /// The ledger of the gateway of this name.
    #[must_use]
    pub fn new(name: String, writer: Writer, commitments: Commitments) -> Self {
        let (witnessed, copier, veil) = (Mutex::default(), None, Veil::default());
        let (refused_acts, began) = (Mutex::default(), clock::now());
        Self { name, writer, commitments, witnessed, copier, veil, refused_acts, began }
    }

    /// This witness has cosigned up to that entry; 0 where it has not been heard yet.
    pub fn witnessed(&self, witness: &str, entries: u64) {
        self.witnessed.lock().unwrap_or_else(PoisonError::into_inner).insert(witness.to_owned(), entries);
    }

    pub(crate) fn witnesses(&self) -> BTreeMap<String, u64> {
        self.witnessed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, copied by this one for as long as it is open.
    #[must_use]
    pub fn with_copier(self, copier: Copier) -> Self {
        Self { copier: Some(copier), ..self }
    }

    /// The same, with texts that may name a person encrypted.
    #[must_use]
    pub fn veiled(self, veil: Veil) -> Self {
        Self { veil, ..self }
    }

    /// Seals and signs all that was taken. Nothing is taken afterwards. Blocks.
    pub fn close(&self) {
        self.writer.close();
        // Only now its last checkpoint is there.
        self.copier.iter().for_each(Copier::close);
    }

    /// How far the copy is, where there is one.
    pub(crate) fn copy_counts(&self) -> Option<CopyCounts> {
        self.copier.as_ref().map(Copier::counts)
    }

    /// Comes when what is recorded about a tenant can be encrypted at once. Records are written where nobody may wait.
    ///
    /// # Errors
    /// Where its keys cannot be made: then nothing of it can be recorded.
    pub(crate) async fn is_ready_for(&self, tenant: &TenantId) -> Result<(), Fault> {
        self.counted(self.veil.ready_for(&tenant.0).await)
    }

    /// The same; what fails is counted among what could not be written.
    fn counted<T>(&self, made: Result<T, Fault>) -> Result<T, Fault> {
        made.inspect_err(|_| self.writer.refuse())
    }

    /// A request is under way.
    pub(crate) fn expect(&self) {
        self.writer.expect();
    }

    /// The commitment to what is asked.
    pub(crate) fn input(&self, series: &Series) -> [u8; 32] {
        commitment::of_input(&self.commitments, series)
    }

    /// The commitment to what is answered.
    pub(crate) fn output(&self, reply: &InferReply) -> [u8; 32] {
        commitment::of_output(&self.commitments, &reply.predictions)
    }

    /// Who is named in a request's record, encrypted; nothing where names stand there as they are.
    ///
    /// # Errors
    /// Where they cannot be encrypted: then the request must not be answered.
    pub(crate) fn names(&self, outcome: &Outcome) -> Result<Option<Names>, Fault> {
        if !self.veil.opens() {
            return Ok(None);
        }
        let sealed =
            |member, text| self.counted(self.veil.seal(&outcome.tenant.0, member, text)).map(Cow::into_owned);
        Ok(Some(Names {
            principal: sealed("principal", &outcome.principal)?,
            request_id: sealed("request_id", &outcome.request_id)?,
            sequence: sealed("sequence", sequence_of(outcome))?,
        }))
    }

    /// Writes what became of a request that was let in by this API key, if by any, and gives the id of its receipt. Names that were made before need not be made again.
    ///
    /// # Errors
    /// Where it cannot be written: then the request must not be answered.
    pub(crate) fn record(
        &self,
        outcome: &Outcome,
        key: &str,
        took: Micros,
        bound: &Bound,
        names: Option<Names>,
    ) -> Result<String, Fault> {
        let trace = outcome.trace.map(|trace| trace.id.to_string()).unwrap_or_default();
        let step = outcome.step.as_ref();
        let names = match names {
            Some(names) => Some(names),
            None => self.names(outcome)?,
        };
        let (principal, request_id, sequence) = match &names {
            Some(Names { principal, request_id, sequence }) => (&**principal, &**request_id, &**sequence),
            None => (&*outcome.principal, &*outcome.request_id, sequence_of(outcome)),
        };
        let written = self.writer.record(|number, at, line| {
            let record = Prediction {
                number,
                life: self.writer.life(),
                at,
                took,
                principal,
                key,
                tenant: &outcome.tenant.0,
                policy: &outcome.policy,
                protocol: outcome.protocol.as_str(),
                request_id,
                trace: &trace,
                batch_call: outcome.batch_call.as_ref().map_or("", |call| &call.0),
                model: outcome.model.as_ref().map_or("", |model| model.as_str()),
                version: outcome.version.map(|version| version.0.into()),
                model_hash: outcome.model_hash.as_ref().map(|hash| &hash.0),
                profile: outcome.profile.map_or("", |profile| profile.as_str()),
                node: outcome.node.as_ref().map_or("", |node| &node.0),
                sequence,
                step: step.and_then(|step| step.number),
                result: match outcome.result {
                    ResultClass::Answered => PredictionResult::Answered,
                    ResultClass::Failed(code) => PredictionResult::Failed(code.as_str()),
                    ResultClass::Cancelled => PredictionResult::Cancelled,
                },
                input: bound.input.as_ref(),
                output: bound.output.as_ref(),
            };
            record.write(line);
        });
        written.map(|number| self.receipt_id(number)).map_err(|error| refused(&error))
    }

    /// Writes that a batch call has begun or is over. What cannot be written is counted; its requests have records of their own.
    pub(crate) fn batch_call(&self, call: &BatchCall) {
        let count = |count: usize| Some(count as u64);
        let (answered, failed, cancelled) = match call.phase {
            BatchCallPhase::Started => (None, None, None),
            BatchCallPhase::Completed { answered, failed, cancelled } => {
                (count(answered), count(failed), count(cancelled))
            }
        };
        let written = self.writer.record(|number, at: UnixMicros, line| {
            let record = spinwell_ledger::BatchCall {
                number,
                life: self.writer.life(),
                at,
                id: &call.id.0,
                has_begun: call.phase == BatchCallPhase::Started,
                requests: call.requests as u64,
                answered,
                failed,
                cancelled,
            };
            record.write(line);
        });
        if let Err(error) = written {
            tracing::debug!(%error, "a batch call is not in the ledger");
        }
    }

    fn receipt_id(&self, number: u64) -> String {
        ReceiptId { log: self.name.clone(), life: self.writer.life(), number }.to_string()
    }

    /// The receipt of that id. Waits for the next checkpoint where it must.
    ///
    /// # Errors
    /// Where this ledger has none of that id, or cannot be read.
    pub(crate) async fn receipt(self: &Arc<Self>, id: &str) -> Result<Receipt, Fault> {
        let unknown = |message: String| Fault::new(Code::ReceiptUnknown, message);
        let id: ReceiptId = id.parse().map_err(|error: NoReceiptId| unknown(error.to_string()))?;
        let (name, number) = (&id.log, id.number);
        if *name != self.name {
            let message =
                format!("this is the ledger of the gateway {}; ask {name} for its receipts", self.name);
            return Err(unknown(message));
        }
        let audit = self.clone();
        let found = tokio::task::spawn_blocking(move || audit.writer.receipt(number)).await;
        match found
            .map_err(|_| Fault::new(Code::Internal, "the receipt could not be made; the server goes on"))?
        {
            Ok(Some(receipt)) if id.is_of(&receipt.record) => Ok(receipt),
            Ok(Some(_)) => Err(unknown(format!(
                "the record {number} of this ledger is of another life than {}: what the id names was lost in a power cut, or was never here",
                id.life
            ))),
            Ok(None) => {
                let records = self.writer.records().0;
                Err(unknown(format!("this ledger has {records} records, and none of the number {number}")))
            }
            Err(error) => Err(refused(&error)),
        }
    }

    /// The newest checkpoint, as it was signed.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) async fn checkpoint(self: &Arc<Self>) -> Result<Vec<u8>, Fault> {
        let audit = self.clone();
        let read = tokio::task::spawn_blocking(move || audit.writer.newest()).await;
        read.map_err(|_| Fault::new(Code::Internal, "the checkpoint could not be read; the server goes on"))?
            .map_err(|error| refused(&error))
    }

    pub(crate) fn counts(&self) -> LedgerCounts {
        let (records, records_signed) = self.writer.records();
        let (entries, entries_signed) = self.writer.entries();
        let (counts, is_ready) = (self.writer.counts(), self.writer.ready().is_ok());
        let refused_acts_left_out = self.refused_acts().left_out();
        LedgerCounts {
            records,
            records_signed,
            entries,
            entries_signed,
            counts,
            refused_acts_left_out,
            is_ready,
        }
    }

    fn refused_acts(&self) -> MutexGuard<'_, RefusedActs> {
        self.refused_acts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest times from a record to the disk since this was last asked.
    pub(crate) fn take_lags(&self) -> Vec<Micros> {
        self.writer.take_lags()
    }
}

fn sequence_of(outcome: &Outcome) -> &str {
    outcome.step.as_ref().map_or("", |step| step.id.as_str())
}

fn refused(error: &LedgerError) -> Fault {
    error.fault().retry_after(RETRY)
}
