//! The methods of the gRPC service.

use super::edge::LentTicket;
use super::timeout;
use crate::record::Ticket;
use crate::{Gateway, VERSION};
use spinwell_core::{Fault, Micros, Protocol};
use spinwell_protocol::grpc::wire::grpc_inference_service_server::GrpcInferenceService;
use spinwell_protocol::grpc::wire::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use spinwell_protocol::{Call, InferRequest, grpc, status};
use spinwell_runtime::clock;
use tonic::{Request, Response, Status};

/// The service behind the generated server.
pub(super) struct Service {
    gateway: Gateway,
}

impl Service {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    async fn answer(
        &self,
        ticket: &mut Ticket,
        message: ModelInferRequest,
        patience: Option<Micros>,
    ) -> Result<Encoder, Fault> {
        ticket.received();
        ticket.asked_for(&message.model_name);
        let model = self.gateway.find(&message.model_name, Some(&message.model_version))?;
        ticket.found(&model);
        let call = grpc::decode(message, &model)?;
        ticket.decoded(&call.id, call.series.batch());
        let Call { id, series, outputs, parameters } = call;
        let timeout = [parameters.timeout, patience].into_iter().flatten().min();
        let deadline = self.gateway.deadline(ticket, timeout);
        let (priority, tenant) = (parameters.priority, self.gateway.tenant());
        let request = InferRequest { model, series, outputs, deadline, priority, tenant };
        let reply = self.gateway.infer(ticket, request).await?;
        Ok(Box::new(move || grpc::encode(&id, &outputs, &reply)))
    }
}

/// Encodes the answer, apart so that it can be timed.
type Encoder = Box<dyn FnOnce() -> ModelInferResponse + Send>;

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
        let ModelReadyRequest { name, version } = request.into_inner();
        let found = self.gateway.find(&name, Some(&version));
        found.map_err(|fault| status::to_grpc(&fault))?;
        Ok(Response::new(ModelReadyResponse { ready: true }))
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
        let ModelMetadataRequest { name, version } = request.into_inner();
        let models = self.gateway.models();
        let model = models.find(&name, Some(&version)).map_err(|fault| status::to_grpc(&fault))?;
        Ok(Response::new(grpc::model(model, &models)))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let model = self.gateway.find(&name, Some(&version)).map_err(|fault| status::to_grpc(&fault))?;
        Ok(Response::new(ModelConfigResponse { config: Some(grpc::config(&model)) }))
    }

    async fn model_infer(
        &self,
        mut request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let lent = request.extensions_mut().remove::<LentTicket>().and_then(|lent| lent.take());
        let mut ticket = lent.unwrap_or_else(|| self.gateway.open_ticket(Protocol::Grpc));
        let patience = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
        let patience = patience.and_then(timeout::parse);
        match self.answer(&mut ticket, request.into_inner(), patience).await {
            Ok(encode) => {
                let started = clock::now();
                let response = encode();
                ticket.close_answered(clock::since(started));
                Ok(Response::new(response))
            }
            Err(fault) => {
                ticket.close_failed(fault.code());
                Err(status::to_grpc(&fault))
            }
        }
    }
}
