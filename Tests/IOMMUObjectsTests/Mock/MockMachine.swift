import IOMMU
import TestSupport

@testable import IOMMUObjects

/// A machine of mock drivers, and what the object model has told it.
final class MockMachine: ObjectHost {
    private(set) lazy var registry = DeviceRegistry(host: self)
    let drivers = ["smmu0": MockDriver(name: "smmu0"), "smmu1": MockDriver(name: "smmu1")]
    private(set) var events: [BackendEvent] = []
    let executor = StepExecutor()
    /// Places of memory that are taken.
    private(set) var places: [UInt64: UInt64] = [:]
    private var nextPlace: UInt64 = 1 << 40
    /// Those that were ever made.
    private var contexts: UInt64 = 0
    /// How often it has heard that faults were answered.
    private(set) var answers = 0

    init(_ devices: [DeviceDescription]) throws {
        for device in devices { try addDevice(device) }
    }

    func addDevice(_ description: DeviceDescription) throws {
        guard let driver = drivers[description.smmu] else {
            throw IOMMUError(.ENOENT, .unknownSMMU, "no such SMMU", hint: "this is a test")
        }
        _ = try registry.insert(description, driver: driver, port: MockPort(driver))
    }

    func removeDevice(named name: String) throws { registry.remove(try registry.device(named: name)) }

    func port(_ name: String) throws -> MockPort {
        guard let port = try registry.device(named: name).port as? MockPort else {
            preconditionFailure("all are mocks")
        }
        return port
    }

    func makeContext(owner: String, account: Account, limits: ContextLimits) -> ObjectContext {
        contexts += 1
        return ObjectContext(registry, id: ContextID(contexts), owner: owner, account: account, limits: limits)
    }

    // MARK: ObjectHost

    func admit(_ memory: MemoryObject, for account: Account) throws(IOMMUError) -> UInt64 {
        let place = nextPlace
        // As far apart as the largest page, so that memory is as aligned as it could be.
        nextPlace += (memory.size + (1 << 30) - 1) & ~((1 << 30) - 1)
        places[place] = memory.size
        return place
    }

    func dismiss(_ memory: MemoryObject, at location: UInt64, for account: Account) { places[location] = nil }

    func faultsAnswered() { answers += 1 }

    func emit(_ event: BackendEvent) { events.append(event) }

    var longWork: (any WorkExecutor)? { executor }
}
