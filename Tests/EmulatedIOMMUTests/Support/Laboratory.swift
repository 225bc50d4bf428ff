import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// The laboratory topology with one context, and work that runs when it is drained.
final class Laboratory {
    let executor = StepExecutor()
    let backend: EmulatedBackend
    let context: ObjectContext
    let account = Account(uid: 0)
    private(set) var events: [BackendEvent] = []

    convenience init(change: (inout TopologyDescription) -> Void = { _ in }) throws {
        try self.init(pages: { $0 }, change: change)
    }

    init(pages: (Machine) -> any PageSource, change: (inout TopologyDescription) -> Void) throws {
        var smmu1 = SMMUDescription(name: "smmu1")
        smmu1.broadcastTLB = true
        var topology = TopologyDescription(
            smmus: [SMMUDescription(name: "smmu0"), smmu1],
            devices: [
                Self.device("0000:01:00.0", 0x100, pasidBits: 10, pri: true),
                Self.device("0000:03:00.0", 0x300, pasidBits: 8, stall: true),
                Self.device("0000:04:00.0", 0x400),
                Self.device("0000:05:00.0", 0x500, pasidBits: 16, stall: true),
                Self.device("uacce0", 0x600, pasidBits: 8, stall: true, queues: 16),
                Self.device("0001:01:00.0", 0x100, smmu: "smmu1", pasidBits: 10, stall: true),
            ])
        change(&topology)
        backend = try EmulatedBackend(topology: topology, executor: executor, pages: pages)
        context = backend.makeContext(owner: "test", account: account, limits: ContextLimits())
        backend.eventHandler = { [weak self] in self?.events.append($0) }
    }

    deinit { context.close() }

    static func device(
        _ name: String, _ streamID: UInt32, smmu: String = "smmu0", pasidBits: Int = 0, stall: Bool = false,
        pri: Bool = false, queues: Int = 0
    ) -> DeviceDescription {
        var device = DeviceDescription(name: name, smmu: smmu, streamIDs: [streamID])
        (device.pasidBits, device.stall, device.pri, device.ats, device.queues) = (pasidBits, stall, pri, pri, queues)
        if name.hasPrefix("uacce") { device.bus = .platform }
        return device
    }

    func bind(_ name: String) throws -> ObjectID { try context.bind(deviceNamed: name).device }

    func takeEvents() -> [BackendEvent] {
        defer { events = [] }
        return events
    }

    // MARK: Accesses that wait until the work is drained

    func read(_ device: ObjectID, pasid: UInt32? = nil, _ iova: UInt64, _ length: UInt64) throws -> [UInt8] {
        let box = Box<[UInt8]>()
        switch try context.emulated.dmaRead(
            device: device, pasid: pasid, iova: iova, length: length, completion: box.take)
        {
        case .done(let bytes): return bytes
        case .pending: return try box.wait(executor)
        }
    }

    func write(_ device: ObjectID, pasid: UInt32? = nil, _ iova: UInt64, _ bytes: [UInt8]) throws {
        let box = Box<UInt64>()
        switch try context.emulated.dmaWrite(
            device: device, pasid: pasid, iova: iova, bytes: bytes, completion: box.take)
        {
        case .done(let count): #expect(count == UInt64(bytes.count))
        case .pending: #expect(try box.wait(executor) == UInt64(bytes.count))
        }
    }

    func submit(_ queue: ObjectID, _ operation: QueueOperation) throws -> SubmitResult {
        let box = Box<SubmitResult>()
        switch try context.emulated.submit(queue, operation, completion: box.take) {
        case .done(let result): return result
        case .pending: return try box.wait(executor)
        }
    }
}

/// Where a completion leaves its result.
final class Box<Value> {
    private(set) var result: Result<Value, IOMMUError>?

    func take(_ result: Result<Value, IOMMUError>) {
        #expect(self.result == nil, "a completion is called once")
        self.result = result
    }

    func wait(_ executor: StepExecutor) throws -> Value {
        executor.drain()
        return try #require(result).get()
    }
}

/// The refusal that a piece of code meets.
func refusal(sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) -> IOMMUError? {
    #expect(throws: IOMMUError.self, sourceLocation: sourceLocation) { try body() }
}

extension IOMMUError {
    func member(_ key: String) -> Value? { members.first { $0.key == key }?.value }

    /// The type of `data.event`.
    var eventType: String? {
        guard case .object(let members)? = member("event"),
            case .text(let type)? = members.first(where: { $0.key == "type" })?.value
        else { return nil }
        return type
    }
}
