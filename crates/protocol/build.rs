//! Compiles the protocol's messages without needing `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    between_our_own()?;
    load_reports()?;
    let file = "proto/inference.proto";
    println!("cargo::rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["proto"])?;
    tonic_prost_build::configure()
        // Tensors stay views of the buffer that they arrived in.
        .bytes(".inference.ModelInferRequest.raw_input_contents")
        .bytes(".inference.ModelInferResponse.raw_output_contents")
        // Counts the lists of a request before anything is made of them.
        .codec_path("crate::grpc::CountingCodec")
        .compile_fds(descriptors)?;
    Ok(())
}

/// What gateways and nodes say to each other.
fn between_our_own() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/node.proto";
    println!("cargo::rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["proto"])?;
    tonic_prost_build::configure().bytes(".spinwell.node.v1").compile_fds(descriptors)?;
    Ok(())
}

/// What balancers read of a server's load.
fn load_reports() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/orca.proto";
    println!("cargo::rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
