//! The methods of the gRPC service.

use super::body::body;
use super::edge::LentTicket;
use super::metered::SharedShare;
use super::timeout;
use crate::cut_off;
use crate::door::{Act, Entry, acted, refused};
use crate::gateway::{Answered, Begun};
use crate::record::Ticket;
use crate::{Gateway, VERSION};
use axum::http::HeaderMap;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, Stream, StreamExt, future, stream};
use prost::Message;
use spinwell_core::{Code, Fault, Micros, Protocol, Trace};
use spinwell_protocol::grpc::wire::grpc_inference_service_server::GrpcInferenceService;
use spinwell_protocol::grpc::wire::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest, RepositoryIndexResponse,
    RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use spinwell_protocol::{grpc, status};
use spinwell_runtime::clock;
use spinwell_security::access::{Action, Resource};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::{Request, Response, Status, Streaming};

/// Requests of one stream that are answered at the same time; more are left in the connection.
const STREAM_REQUESTS: usize = 64;

/// The service behind the generated server.
#[derive(Clone)]
pub(super) struct Service {
    gateway: Gateway,
}

impl Service {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    /// Hands the request in a message over.
    fn begin(
        &self,
        ticket: &mut Ticket,
        entry: Entry,
        message: ModelInferRequest,
        patience: Option<Micros>,
    ) -> Result<Begun, Fault> {
        ticket.received();
        let (length, bytes) = body(&message);
        ticket.has_body(length, bytes);
        ticket.asked_for(&message.model_name);
        self.gateway.let_in(ticket, entry, &message.model_name)?;
        let found = self.gateway.find_split(&message.model_name, Some(&message.model_version))?;
        ticket.found(&found.model);
        let call = grpc::decode(message, &found.model)?;
        ticket.decoded(&call.id, call.series.batch());
        self.gateway.permit_call(ticket, &found.model.name, &call)?;
        Ok(self.gateway.begin(ticket, found, call, patience))
    }

    /// Whether whoever sends a request may do that to a model; to the region, where none is named.
    fn may<T>(&self, request: &Request<T>, action: Action, model: &str) -> Result<Arc<str>, Status> {
        let door = self.gateway.door();
        let permitted = entry_of(request).and_then(|entry| {
            let caller = entry.caller.clone()?;
            let resource = match model.parse() {
                Ok(model) => door.model(&model),
                // What no model can be called, none is: that is said where it is looked for.
                Err(_) => Resource::Region,
            };
            // Of the region, only what can be asked of it.
            if !action.kinds().contains(&resource.kind()) {
                return Ok("".into());
            }
            door.permit(&caller, action, &resource).map_err(|refusal| {
                let (policy, place) = (refusal.policy, format!("gRPC {action}"));
                let act = Act { action, resource, policy, place };
                refused(&self.gateway, &entry, &act, refusal.fault.code());
                door.counted(refusal.fault)
            })
        });
        permitted.map_err(|fault| status::to_grpc(&fault))
    }

    /// What is to be written down of an act on a model, where its caller may do it.
    fn act<T>(&self, request: &Request<T>, action: Action, model: &str) -> Result<(Entry, Act), Status> {
        let policy = self.may(request, action, model)?;
        let entry = entry_of(request).map_err(|fault| status::to_grpc(&fault))?;
        let resource = match model.parse() {
            Ok(model) => self.gateway.door().model(&model),
            Err(_) => Resource::Region,
        };
        Ok((entry, Act { action, resource, policy, place: format!("gRPC {action}") }))
    }

    /// Hands the request in a message of a stream over, and comes with the message that answers it.
    fn begin_streamed(
        &self,
        message: Result<ModelInferRequest, Status>,
        stream: &OpenStream,
    ) -> impl Future<Output = Streamed> + use<> {
        let (begun, mut ticket, share, id) = match message {
            Ok(message) => {
                let mut ticket = self.gateway.open_ticket(Protocol::GrpcStream, stream.trace(&self.gateway));
                let mut arriving = stream.arriving.lock().unwrap_or_else(PoisonError::into_inner);
                let mut share = std::mem::replace(&mut *arriving, self.gateway.body_share());
                drop(arriving);
                let id = message.id.clone();
                // What came compressed holds more than its frames.
                let more = message.encoded_len().saturating_sub(share.bytes());
                let begun = share.take(more).and_then(|()| {
                    // Keys may have been revoked, and tokens expired, since the stream began.
                    let entry = self.gateway.door().enter_again(&stream.headers, &stream.entry);
                    self.begin(&mut ticket, entry, message, None)
                });
                (begun.map_err(Failed::Request), Some(ticket), Some(share), id)
            }
            Err(status) => {
                // A message that cannot be read was a request; a caller who has gone sent none.
                if !matches!(status.code(), tonic::Code::Cancelled | tonic::Code::Unknown) {
                    let ticket = self.gateway.open_ticket(Protocol::GrpcStream, stream.trace(&self.gateway));
                    ticket.close_with(status::code_of(&status));
                }
                (Err(Failed::Stream(status::of_unread(status))), None, None, String::new())
            }
        };
        let lost = stream.lost.clone();
        async move {
            // Held until the answer.
            let _share = share;
            let answered = match (begun, &mut ticket) {
                (Ok(begun), Some(ticket)) => tokio::select! {
                    biased;
                    answered = begun.end(ticket) => answered.map_err(Failed::Request),
                    () = lost => Err(Failed::Request(cut_off::without_nodes())),
                },
                (Ok(_), None) => Err(Failed::Stream(Status::internal("a request has no record"))),
                (Err(failed), _) => Err(failed),
            };
            match answered {
                Ok(Answered { id, outputs, reply }) => {
                    let started = clock::now();
                    let response = grpc::encode(&id, &outputs, &reply);
                    ticket.into_iter().for_each(|ticket| ticket.close_answered(clock::since(started)));
                    Ok(grpc::streamed(response))
                }
                Err(Failed::Request(fault)) => {
                    ticket.into_iter().for_each(|ticket| ticket.close_failed(&fault));
                    Ok(grpc::streamed_error(&id, &fault))
                }
                Err(Failed::Stream(status)) => Err(status),
            }
        }
    }
}

/// Who sends a request, as its edge has seen.
fn entry_of<T>(request: &Request<T>) -> Result<Entry, Fault> {
    let entry = request.extensions().get::<Entry>().cloned();
    entry.ok_or_else(|| Fault::new(Code::Internal, "nobody has looked at the caller; the server goes on"))
}

fn code_of<T>(result: &Result<T, Fault>) -> Option<Code> {
    result.as_ref().err().map(Fault::code)
}

/// What all requests of one stream share.
struct OpenStream {
    /// Where what arrives is counted.
    arriving: SharedShare,
    /// The headers that the stream came with.
    headers: HeaderMap,
    /// Who began it.
    entry: Entry,
    /// Comes when the stream is to end because there are no nodes.
    lost: Shared<BoxFuture<'static, ()>>,
}

impl OpenStream {
    /// A request's place in a trace: the one that the stream's caller named, or one of its own.
    fn trace(&self, gateway: &Gateway) -> Option<Trace> {
        gateway.trace(&self.headers)
    }
}

/// A message of a stream's answer, or the end of the stream.
type Streamed = Result<ModelStreamInferResponse, Status>;

/// What a stream fails of.
enum Failed {
    /// One request; the stream goes on.
    Request(Fault),
    /// The stream itself.
    Stream(Status),
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: self.gateway.ready().is_ok() }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let may = self.may(&request, Action::ModelRead, &request.get_ref().name);
        if let Err(refused) = may.as_ref()
            && refused.code() != tonic::Code::NotFound
        {
            return Err(refused.clone());
        }
        let ModelReadyRequest { name, version } = request.into_inner();
        // As Triton has it, whose clients poll for a model that is yet to come: an unknown one is not ready, and no error.
        let ready = may.is_ok() && self.gateway.find(&name, Some(&version)).is_ok();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(grpc::server(VERSION)))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        self.may(&request, Action::ModelRead, &request.get_ref().name)?;
        let ModelMetadataRequest { name, version } = request.into_inner();
        let models = self.gateway.models().map_err(|fault| status::to_grpc(&fault))?;
        let model = models.find(&name, Some(&version)).map_err(|fault| status::to_grpc(&fault))?;
        Ok(Response::new(grpc::model(model, &models)))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        self.may(&request, Action::ModelRead, &request.get_ref().name)?;
        let ModelConfigRequest { name, version } = request.into_inner();
        let model = self.gateway.find(&name, Some(&version)).map_err(|fault| status::to_grpc(&fault))?;
        Ok(Response::new(ModelConfigResponse { config: Some(grpc::config(&model)) }))
    }

    async fn model_infer(
        &self,
        mut request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let lent = request.extensions_mut().remove::<LentTicket>().and_then(|lent| lent.take());
        let mut ticket = lent.unwrap_or_else(|| {
            self.gateway.open_ticket(Protocol::Grpc, self.gateway.trace(request.metadata().as_ref()))
        });
        let patience = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
        let patience = patience.and_then(timeout::parse);
        let begun = entry_of(&request)
            .and_then(|entry| self.begin(&mut ticket, entry, request.into_inner(), patience));
        let answered = match begun {
            Ok(begun) => begun.end(&mut ticket).await,
            Err(fault) => Err(fault),
        };
        match answered {
            Ok(Answered { id, outputs, reply }) => {
                let started = clock::now();
                let response = grpc::encode(&id, &outputs, &reply);
                ticket.close_answered(clock::since(started));
                Ok(Response::new(response))
            }
            Err(fault) => {
                ticket.close_failed(&fault);
                Err(status::to_grpc(&fault))
            }
        }
    }

    type ModelStreamInferStream = Pin<Box<dyn Stream<Item = Streamed> + Send>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let service = self.clone();
        let arriving = request.extensions().get::<SharedShare>().cloned();
        let arriving = arriving.unwrap_or_else(|| Arc::new(Mutex::new(self.gateway.body_share())));
        // A server that stops answers what it has read and ends the stream, and one that has lost its nodes refuses it.
        let headers = request.metadata().as_ref().clone();
        let entry = entry_of(&request).map_err(|fault| status::to_grpc(&fault))?;
        let health = self.gateway.health();
        let lost = cut_off::lost_nodes(health.clone()).boxed().shared();
        let ends = future::select(health.stopping().boxed(), lost.clone());
        let open = OpenStream { arriving, headers, entry, lost: lost.clone() };
        let mut is_over = false;
        // What cannot be read ends the stream, once: asked again, the library may tell of it again.
        let until_broken = move |message: &Result<ModelInferRequest, Status>| {
            std::future::ready(!std::mem::replace(&mut is_over, message.is_err()))
        };
        let messages = request.into_inner().take_while(until_broken);
        let messages = messages.take_until(ends);
        let answers =
            messages.map(move |message| service.begin_streamed(message, &open)).buffered(STREAM_REQUESTS);
        let why = async move { lost.peek().map(|()| Err(status::to_grpc(&cut_off::without_nodes()))) };
        let answers = answers.chain(stream::once(why).filter_map(future::ready));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let entry = entry_of(&request).map_err(|fault| status::to_grpc(&fault))?;
        self.may(&request, Action::StatisticsRead, &request.get_ref().name)?;
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let counted = self.gateway.statistics(Some(&name), Some(&version));
        let shown = counted.and_then(|mut all| {
            self.gateway.shown(&entry, Action::StatisticsRead, &mut all, |counted| &counted.name)?;
            Ok(all)
        });
        let all = shown.map_err(|fault| status::to_grpc(&fault))?;
        Ok(Response::new(grpc::statistics(&all)))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let listed = async {
            let mut all = self.gateway.link()?.index().await?;
            let entry = entry_of(&request)?;
            self.gateway.shown(&entry, Action::ModelRead, &mut all, |listed| &listed.name)?;
            Ok(all)
        };
        let mut all: Vec<_> = listed.await.map_err(|fault: Fault| status::to_grpc(&fault))?;
        all.retain(|entry| entry.is_ready || !request.get_ref().ready);
        Ok(Response::new(grpc::index(all)))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let (entry, act) = self.act(&request, Action::ModelLoad, &request.get_ref().model_name)?;
        let RepositoryModelLoadRequest { model_name, parameters, .. } = request.into_inner();
        let loaded = async {
            grpc::checked_repository_parameters(&parameters)?;
            self.gateway.load_model(&model_name).await
        };
        let loaded = acted(&self.gateway, &entry, act, code_of, loaded).await.and_then(|loaded| loaded);
        let left_out = loaded.map_err(|fault| status::to_grpc(&fault))?;
        let mut response = Response::new(RepositoryModelLoadResponse {});
        if let Some(versions) = grpc::not_loaded(&left_out) {
            response.metadata_mut().insert(grpc::NOT_LOADED_KEY, versions);
        }
        Ok(response)
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let (entry, act) = self.act(&request, Action::ModelUnload, &request.get_ref().model_name)?;
        let RepositoryModelUnloadRequest { model_name, parameters, .. } = request.into_inner();
        let unloaded = async {
            grpc::checked_repository_parameters(&parameters)?;
            self.gateway.unload_model(&model_name).await
        };
        let unloaded =
            acted(&self.gateway, &entry, act, code_of, unloaded).await.and_then(|unloaded| unloaded);
        unloaded.map_err(|fault| status::to_grpc(&fault))?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }
}
