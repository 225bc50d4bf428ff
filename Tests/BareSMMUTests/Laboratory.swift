import BareSMMU
import IOMMU
import IOMMUObjects
import LinuxIO
import Testing

/// A session of a backend without any device or SMMU: memory objects are all that a bare SMMU needs.
final class Laboratory {
    private let host = NoMachine()
    private let registry: DeviceRegistry
    let context: ObjectContext
    let account = Account(uid: 0)

    init() throws {
        registry = DeviceRegistry(host: host)
        context = ObjectContext(
            registry, id: ContextID(1), owner: "test", account: account, limits: ContextLimits())
        SMMUModels.equip(context)
    }

    deinit { context.close() }

    func takeEvents() -> [BackendEvent] {
        defer { host.events = [] }
        return host.events
    }
}

extension ObjectContext {
    /// Its bare SMMUs.
    var models: SMMUModels {
        guard let models = bareSMMUs as? SMMUModels else { preconditionFailure("the laboratory gives it some") }
        return models
    }
}

extension SMMUModels {
    /// A register write as its VMM has it made: it takes what it is told, and waits for the end of the commands.
    func write(
        _ vsmmu: ObjectID, offset: UInt64, size: Int, _ value: UInt64, tell: ([BareSMMUNotice]) -> Void
    ) throws {
        var isDone = try mmioWrite(vsmmu, offset: offset, size: size, value: value)
        while true {
            if hasNotices { tell(takeNotices(of: vsmmu)) }
            if isDone { return }
            var budget = TurnBudget(units: 1 << 20)
            isDone = try consumeVSMMUCommands(vsmmu, &budget)
        }
    }
}

/// A host that gives memory no place, since nothing maps it.
private final class NoMachine: ObjectHost {
    var events: [BackendEvent] = []

    func admit(_ memory: MemoryObject, for account: Account) throws(IOMMUError) -> UInt64 { 0 }
    func dismiss(_ memory: MemoryObject, at location: UInt64, for account: Account) {}
    func faultsAnswered() {}
    func emit(_ event: BackendEvent) { events.append(event) }
}

/// The refusal that a piece of code meets.
func refusal(sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) -> IOMMUError? {
    #expect(throws: IOMMUError.self, sourceLocation: sourceLocation) { try body() }
}

extension IOMMUError {
    func member(_ key: String) -> Value? { members.first { $0.key == key }?.value }
}
