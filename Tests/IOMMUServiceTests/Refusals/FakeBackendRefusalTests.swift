import Glibc
import IOMMU
import LinuxIO
import ServiceTestSupport
import TestSupport
import Testing

@testable import IOMMUService
@testable import JSONRPC

/// Refusals that the emulated backend gives no cause for.
@Suite struct FakeBackendRefusalTests {
    private let backend = FakeBackend()
    private let bench: ServiceBench
    private let client: PlayedClient

    init() throws {
        bench = try ServiceBench(backend: backend)
        client = try bench.connect()
    }

    /// Devices 1 to 3, each of which is a pipe.
    private final class Exporter: DescriptorExport {
        func exportContext(devices names: [String]) throws(IOMMUError) -> [SharedDescriptor] {
            try (0...names.count).map { _ throws(IOMMUError) in SharedDescriptor(try exportDevice(1)) }
        }

        func exportDevice(_ device: ObjectID) throws(IOMMUError) -> Descriptor {
            guard (1...3).contains(device) else { throw .unknown(.unknownDevice, "device", device, key: "device") }
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { throw .noDescriptors }
            close(ends[1])
            return Descriptor(adopting: ends[0])
        }

        func offerContext(devices names: [String]) throws(IOMMUError) -> any ContextOffer { throw .noDescriptors }

        func beginForcedUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void> { .now(()) }
    }

    @Test func devicesThatAreNotThere() throws {
        try #require(backend.contexts.last).descriptorExport = Exporter()
        try client.expect(ENOENT, "unknown_device", "device.export", #"{"device":9}"#)
    }

    /// A client that does not take its descriptors is given no more than it may have waiting.
    @Test func descriptorsThatNobodyTakes() throws {
        try #require(backend.contexts.last).descriptorExport = Exporter()
        let request = #"{"jsonrpc":"2.0","id":1,"method":"fd.export","params":{"names":["a","b","c","d"]}}"#
        try client.send(line: "[" + Array(repeating: request, count: 4).joined(separator: ",") + "]")
        let replies = try client.receive().arrayValue ?? []
        #expect(replies.count == 4 && replies.prefix(3).allSatisfy { $0["result"] != nil })
        let refusal = replies.last?["error"]?["data"]
        #expect(refusal?["errno"] == .string("EMFILE") && refusal?["reason"] == .string("descriptors_unsent"))
        #expect(client.takeDescriptors().count == 15)
    }

    /// The emulated hardware sends groups of one fault only.
    @Test func faultGroupsThatDoNotFit() throws {
        let context = try #require(backend.contexts.last)
        context.faultRefusal = IOMMUError(
            .EINVAL, .groupDoesNotFit, "the next fault group of fault queue 1 has 2 faults, more than 1",
            hint: "read with a larger max", ["fault": .number(1), "needed": .number(2)])
        try client.expect(EINVAL, "group_does_not_fit", "fault.read", #"{"fault":1,"max":1}"#)
    }

    // MARK: Mistakes of the daemon's own

    @Test func aReplyThatIsNotAsDeclared() throws {
        backend.kind = "of paper"
        let error = try client.refusal("daemon.info")
        #expect(error.code == RPCError.internalError && error.reason == "reply_mismatch")
        backend.kind = "emulated"
        try client.call("daemon.info")
    }

    private struct Mistake: Error {}

    @Test func aHandlerThatFailsUnexpectedly() throws {
        var methods = MethodTable<Service>()
        methods.declare("test.fail", "Fail.") { _ in { _, _ in throw Mistake() } }
        let dispatcher = Dispatcher(methods, context: bench.service)
        let line = Array((#"{"jsonrpc":"2.0","id":1,"method":"test.fail"}"# + "\n").utf8)
        #expect(dispatcher.consume(line, from: client.connection).isEmpty)
        let error = try client.receive()["error"]
        #expect(error?["code"] == .integer(RPCError.internalError))
        #expect(error?["data"]?["reason"] == .string("internal_error"))
    }
}
