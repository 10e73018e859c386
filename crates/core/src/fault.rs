//! Faults: what went wrong, who is to blame, whether to try again.
//!
//! A [`Fault`] is an error that may cross a service edge. Its [`Code`] is stable and has a page under
//! `docs/errors/`; its message is for the caller. What the log says is another message, written where the
//! cause is known. Codes live in one list so that no two crates invent the same one twice and so that
//! `cargo xtask tidy` can hold the list against the pages.

use std::fmt;

/// Who has to act for the error to go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The caller sent something that can never be served as it is.
    Client,
    /// The service is full, stopping or broken; the same request may be served later or elsewhere.
    Service,
    /// A file or an option that the operator gave.
    Operator,
}

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $text:literal, $blame:ident, retryable: $retryable:literal; )+) => {
        /// A stable error code. The text never changes once released; each has a page under `docs/errors/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $( $(#[$doc])* $name, )+ }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$( Code::$name, )+];

            /// The code as it appears on the wire and in the documentation.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Code::$name => $text, )+ }
            }

            /// The code that is written so, where there is one.
            #[must_use]
            pub fn named(text: &str) -> Option<Code> {
                Code::ALL.iter().copied().find(|code| code.as_str() == text)
            }

            /// Who has to act.
            #[must_use]
            pub const fn blame(self) -> Blame {
                match self { $( Code::$name => Blame::$blame, )+ }
            }

            /// Whether the same request may succeed later or on another server.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $( Code::$name => $retryable, )+ }
            }
        }
    };
}

codes! {
    /// No model of that name is served here.
    ModelNotFound = "SPW-MODEL-NOT-FOUND", Client, retryable: false;
    /// The model exists, that version of it does not.
    VersionNotFound = "SPW-VERSION-NOT-FOUND", Client, retryable: false;
    /// No such path on this listener.
    PathNotFound = "SPW-PATH-NOT-FOUND", Client, retryable: false;
    /// The path exists, the verb is not offered on it.
    MethodNotAllowed = "SPW-METHOD-NOT-ALLOWED", Client, retryable: false;
    /// The body is not JSON.
    JsonMalformed = "SPW-JSON-MALFORMED", Client, retryable: false;
    /// The body is JSON, but not an inference request.
    RequestInvalid = "SPW-REQUEST-INVALID", Client, retryable: false;
    /// The body is larger than the limit.
    BodyTooLarge = "SPW-BODY-TOO-LARGE", Client, retryable: false;
    /// Header length, tensor sizes and body length disagree.
    FramingInvalid = "SPW-FRAMING-INVALID", Client, retryable: false;
    /// The body, or the rest of a message of a stream, did not arrive in time.
    BodyTimeout = "SPW-BODY-TIMEOUT", Client, retryable: true;
    /// An input has a name the model does not know.
    TensorUnknown = "SPW-TENSOR-UNKNOWN", Client, retryable: false;
    /// A datatype that does not exist or that the model does not take.
    TensorDatatype = "SPW-TENSOR-DATATYPE", Client, retryable: false;
    /// Rank, dimensions or channel count do not fit the model, or the data does not fit the shape.
    TensorShape = "SPW-TENSOR-SHAPE", Client, retryable: false;
    /// A dimension is zero: there is nothing to predict from.
    TensorEmpty = "SPW-TENSOR-EMPTY", Client, retryable: false;
    /// An element is not a number.
    TensorData = "SPW-TENSOR-DATA", Client, retryable: false;
    /// An element is NaN or infinite.
    TensorNotFinite = "SPW-TENSOR-NOT-FINITE", Client, retryable: false;
    /// The window has fewer rows than the model's memory.
    WindowTooShort = "SPW-WINDOW-TOO-SHORT", Client, retryable: false;
    /// An output was requested that the model does not have.
    OutputUnknown = "SPW-OUTPUT-UNKNOWN", Client, retryable: false;
    /// A part of the protocol that this server does not offer.
    NotOffered = "SPW-NOT-OFFERED", Client, retryable: false;
    /// The request carries nothing that says who asks, and only known callers are served.
    CredentialsMissing = "SPW-CREDENTIALS-MISSING", Client, retryable: false;
    /// What the request carries to say who asks is not good.
    CredentialsRefused = "SPW-CREDENTIALS-REFUSED", Client, retryable: false;
    /// The caller is known and may not do this.
    NotPermitted = "SPW-NOT-PERMITTED", Client, retryable: false;
    /// The caller's tenant has asked for more than its quota.
    QuotaExceeded = "SPW-QUOTA-EXCEEDED", Client, retryable: true;
    /// The caller, or everybody unknown at its address, is held back for what was asked before.
    CallerHeldBack = "SPW-CALLER-HELD-BACK", Client, retryable: true;
    /// The request's deadline passed before its answer was ready.
    DeadlineExceeded = "SPW-DEADLINE-EXCEEDED", Service, retryable: true;
    /// The queue is full; the request was refused at once.
    QueueFull = "SPW-QUEUE-FULL", Service, retryable: true;
    /// The server is starting: its models are not loaded yet, or its nodes not reached.
    Starting = "SPW-STARTING", Service, retryable: true;
    /// The server is stopping and takes no new work.
    Stopping = "SPW-STOPPING", Service, retryable: true;
    /// A promise of our own code was broken.
    Internal = "SPW-INTERNAL", Service, retryable: true;
    /// There is no sequence of that id, or it has ended.
    SequenceUnknown = "SPW-SEQUENCE-UNKNOWN", Client, retryable: false;
    /// The sequence was not used for so long that its state was given up.
    SequenceExpired = "SPW-SEQUENCE-EXPIRED", Client, retryable: false;
    /// The step's number is not the next one, or was taken with other rows.
    SequenceStep = "SPW-SEQUENCE-STEP", Client, retryable: false;
    /// The key that the data were encrypted with was deleted, so that nobody can read them again.
    DataErased = "SPW-DATA-ERASED", Client, retryable: false;
    /// A sequence of that id lives already where another was to begin.
    SequenceExists = "SPW-SEQUENCE-EXISTS", Client, retryable: false;
    /// The sequence belongs to a model that is not served, or to another one than asked for.
    SequenceModel = "SPW-SEQUENCE-MODEL", Client, retryable: false;
    /// No forecast is remembered under that key: there was none, or it has been forgotten.
    ForecastUnknown = "SPW-FORECAST-UNKNOWN", Client, retryable: false;
    /// Another truth was given before for the same step of a forecast.
    ObservationContradicts = "SPW-OBSERVATION-CONTRADICTS", Client, retryable: false;
    /// The step log cannot be written, so that no step can be promised.
    LogFailed = "SPW-LOG-FAILED", Service, retryable: true;
    /// The ledger cannot take the record of a request or of an act, so that neither may happen.
    LedgerFailed = "SPW-LEDGER-FAILED", Service, retryable: true;
    /// There is no prediction of that receipt's id in this ledger.
    ReceiptUnknown = "SPW-RECEIPT-UNKNOWN", Client, retryable: false;
    /// The database cannot be read or written.
    DatabaseFailed = "SPW-DATABASE-FAILED", Service, retryable: true;
    /// The server could not be reached or did not answer as the protocol says.
    Unreachable = "SPW-UNREACHABLE", Service, retryable: true;
    /// Another node has written to the sequence's shard at the same time.
    SequenceMoved = "SPW-SEQUENCE-MOVED", Service, retryable: true;
    /// The sequence was used or begun anew after this request had come, which reached its node late.
    SequenceOvertaken = "SPW-SEQUENCE-OVERTAKEN", Client, retryable: false;
    /// The region has no node of that name.
    NodeUnknown = "SPW-NODE-UNKNOWN", Client, retryable: false;
    /// An order of a plan came too late: another leader has given later ones, or the node has started anew since.
    OrderOld = "SPW-ORDER-OLD", Client, retryable: false;
    /// The node is the last one that serves, and nobody said that it may stop all the same.
    LastNode = "SPW-LAST-NODE", Client, retryable: false;
    /// No node that could answer can be reached, or the one that was asked was lost.
    NodeUnreachable = "SPW-NODE-UNREACHABLE", Service, retryable: true;
    /// The file is not a Spinwell model.
    FileForeign = "SPW-FILE-FOREIGN", Operator, retryable: false;
    /// The model file ends before its contents do.
    FileTruncated = "SPW-FILE-TRUNCATED", Operator, retryable: false;
    /// The model file's contents do not match its checksum, or contradict themselves.
    FileCorrupt = "SPW-FILE-CORRUPT", Operator, retryable: false;
    /// No model can be read from the file yet, and it changed a moment ago: somebody may be writing it.
    FileUnsettled = "SPW-FILE-UNSETTLED", Operator, retryable: true;
    /// The model file was written by a newer Spinwell.
    FileFromTheFuture = "SPW-FILE-FROM-THE-FUTURE", Operator, retryable: false;
    /// The model is of another task than what was asked of it.
    TaskMismatch = "SPW-TASK-MISMATCH", Operator, retryable: false;
    /// A version of that number is there already, with another model in it.
    VersionExists = "SPW-VERSION-EXISTS", Operator, retryable: false;
    /// A file or folder could not be read or written.
    Io = "SPW-IO", Operator, retryable: false;
    /// The file is not readable as CSV with a header row.
    CsvMalformed = "SPW-CSV-MALFORMED", Operator, retryable: false;
    /// A column was named that the file does not have.
    CsvColumn = "SPW-CSV-COLUMN", Operator, retryable: false;
    /// A cell is neither a number nor empty, or not finite.
    CsvCell = "SPW-CSV-CELL", Operator, retryable: false;
    /// More consecutive cells are missing than are bridged.
    CsvMissing = "SPW-CSV-MISSING", Operator, retryable: false;
    /// A time cell is not a time, or a time occurs twice.
    CsvTime = "SPW-CSV-TIME", Operator, retryable: false;
    /// A column never changes in the rows it would be learned from.
    SeriesConstant = "SPW-SERIES-CONSTANT", Operator, retryable: false;
    /// A column's values leave no room for forecasts and intervals in 32-bit floats.
    SeriesScale = "SPW-SERIES-SCALE", Operator, retryable: false;
    /// There are not enough rows for the horizon, season and folds asked for, or not enough cases of a class.
    SeriesTooShort = "SPW-SERIES-TOO-SHORT", Operator, retryable: false;
    /// An option's value is out of range or contradicts another.
    OptionInvalid = "SPW-OPTION-INVALID", Operator, retryable: false;
    /// The configuration file, or a key in it, is not valid.
    ConfigInvalid = "SPW-CONFIG-INVALID", Operator, retryable: false;
    /// Another process uses the data folder.
    DataInUse = "SPW-DATA-IN-USE", Operator, retryable: false;
    /// What rests encrypted does not open with the root key that was given, or none was.
    RootKeyRefused = "SPW-ROOT-KEY-REFUSED", Operator, retryable: false;
    /// Keys that something is encrypted with are not there, and nobody has erased them.
    KeysLost = "SPW-KEYS-LOST", Operator, retryable: false;
    /// Another process of the region lives under the same role and id.
    IdInUse = "SPW-ID-IN-USE", Operator, retryable: true;
    /// Fewer nodes can be used than a region needs that is to survive the loss of one.
    InsufficientNodes = "SPW-INSUFFICIENT-NODES", Operator, retryable: true;
    /// A certificate, key or authority is not what it should be, or a peer would refuse it.
    CertificateInvalid = "SPW-CERTIFICATE-INVALID", Operator, retryable: false;
    /// A file is there already, and nobody said that it may be replaced.
    FileExists = "SPW-FILE-EXISTS", Operator, retryable: false;
    /// An address is in use or may not be bound without saying so.
    ListenRefused = "SPW-LISTEN-REFUSED", Operator, retryable: false;
    /// A ledger, a checkpoint or a receipt is not what was signed.
    LedgerWrong = "SPW-LEDGER-WRONG", Operator, retryable: false;
    /// Training was interrupted before it had a model.
    Interrupted = "SPW-INTERRUPTED", Operator, retryable: true;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that may cross a service edge: a stable code and a message that says what was wrong and what
/// would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    code: Code,
    message: String,
    retry_after: Option<crate::Millis>,
    expected_step: Option<u64>,
    is_out_of_proportion: bool,
}

impl Fault {
    /// A fault of `code` whose message the caller will read.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let (message, retry_after, expected_step) = (message.into(), None, None);
        Self { code, message, retry_after, expected_step, is_out_of_proportion: false }
    }

    /// The same fault with a hint when to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: crate::Millis) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same fault with the number of the step that would have been right.
    #[must_use]
    pub fn expected_step(mut self, step: u64) -> Self {
        self.expected_step = Some(step);
        self
    }

    /// The same fault of a request that declares more than any request can hold, which nobody does by mistake.
    #[must_use]
    pub fn out_of_proportion(mut self) -> Self {
        self.is_out_of_proportion = true;
        self
    }

    /// Whether the request declares more than any request can hold.
    #[must_use]
    pub fn is_out_of_proportion(&self) -> bool {
        self.is_out_of_proportion
    }

    /// The number of the step that would have been right, where that is known.
    #[must_use]
    pub fn expected_step_hint(&self) -> Option<u64> {
        self.expected_step
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What was wrong and what would be right.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When to try again, where that is known.
    #[must_use]
    pub fn retry_after_hint(&self) -> Option<crate::Millis> {
        self.retry_after
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_upper_case_and_prefixed() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} stands twice");
            assert!(text.starts_with("SPW-"), "{text}");
            assert!(text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'), "{text}");
        }
    }

    #[test]
    fn only_the_service_asks_for_a_retry_of_a_request_that_was_read() {
        // What came too late, or more often than it may, was never read: nothing says that the request itself is wrong.
        let read =
            |code: &&Code| !matches!(code, Code::BodyTimeout | Code::QuotaExceeded | Code::CallerHeldBack);
        for code in Code::ALL.iter().filter(read).filter(|code| code.blame() == Blame::Client) {
            assert!(
                !code.retryable(),
                "{code} blames the client and must not ask for the same request again"
            );
        }
        assert!(Code::BodyTimeout.retryable());
    }
}
