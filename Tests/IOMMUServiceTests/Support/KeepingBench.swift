import Durability
import EmulatedIOMMU
import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import Logging
import TestSupport
import Testing

@testable import IOMMUService

/// A service whose daemon can end at any moment and be started again, with what it left behind.
final class KeepingBench {
    let medium = MemoryMedium()
    let manager: PlayedManager
    /// Of the daemon that runs now.
    private(set) var bench: ServiceBench
    private(set) var keeper: StateKeeper
    /// Makes a service, for each daemon anew.
    private let make: () throws -> ServiceBench
    /// Called when the daemon ends, before anything of it is taken apart.
    var onDeath: () -> Void = {}
    /// Done before another is started.
    var onEnd: () throws -> Void = {}
    /// Held open for as long as the bench lives.
    private var memories: [SharedMemory] = []

    /// - Parameter store: descriptors that the service manager takes; 0: there is none that keeps any.
    convenience init(
        topology: TopologyDescription = .laboratory, store: Int = 64,
        _ change: @escaping (inout Configuration) -> Void = { _ in }
    ) throws {
        try self.init(store: store) { try ServiceBench(topology: topology, change) }
    }

    /// A service over whatever backend; what stands behind that may be the same for each daemon.
    init(store: Int = 64, over make: @escaping () throws -> ServiceBench) throws {
        manager = PlayedManager(capacity: store)
        self.make = make
        (bench, keeper) = try Self.start(medium, manager, make)
        manager.onDeath = { [unowned self] in
            medium.die()
            onDeath()
        }
    }

    private static func start(
        _ medium: MemoryMedium, _ manager: PlayedManager, _ make: () throws -> ServiceBench
    ) throws -> (ServiceBench, StateKeeper) {
        let bench = try make()
        var passed: [String: SharedDescriptor] = [:]
        for (name, number) in manager.store.passed() { passed[name] = SharedDescriptor(Descriptor(adopting: number)) }
        let files = StoredFiles(
            manager: manager, loop: bench.loop, capacity: manager.store.capacity,
            perUser: bench.service.configuration.limits.storedDescriptors(of: manager.store.capacity), passed: passed)
        let keeper = StateKeeper(
            bench.service, medium: medium, files: files, loop: bench.loop,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        bench.service.keeper = keeper
        passed = [:]
        keeper.start {}
        return (bench, keeper)
    }

    var service: Service { bench.service }

    /// The daemon ends, and another is started with what it left behind.
    func restart() throws {
        medium.die()
        manager.isDead = true
        onDeath()
        // What a process leaves to the kernel has to be taken apart here.
        bench.service.sessions.closeAll()
        bench.settle()
        try onEnd()
        medium.revive()
        (manager.isDead, manager.messagesLeft, manager.refusal) = (false, nil, nil)
        (bench, keeper) = try Self.start(medium, manager, make)
    }

    // MARK: Calling

    /// A client in a named session; private ones call `bench.connect`.
    func connect(_ session: String? = nil, uid: UInt32 = geteuid()) throws -> PlayedClient {
        let client = try bench.connect(uid: uid)
        if let session { try client.call("session.attach", #"{"name":"\#(session)"}"#) }
        return client
    }

    /// The end of a turn of the daemon's loop. - Returns: whether replies may leave.
    @discardableResult
    func endTurn() -> Bool { keeper.flush() }

    /// Memory of a client's that lasts.
    func memory(_ size: Int = 65_536) throws -> SharedMemory {
        let memory = try SharedMemory(size: size)
        memories.append(memory)
        return memory
    }

    // MARK: What is there

    /// Everything that is to outlive the daemon, in words.
    var state: String {
        get throws {
            var lines: [String] = []
            for session in service.sessions.all {
                guard let name = session.name else { continue }
                lines.append("session \(name) of \(session.owner.uid), \(session.context.mappedBytes) bytes")
                lines += try describe(session.context)
            }
            return lines.joined(separator: "\n")
        }
    }

    /// The first lines of two states that differ; nil: they are the same.
    static func difference(_ before: String, _ after: String) -> String? {
        guard before != after else { return nil }
        let (old, new) = (before.split(separator: "\n"), after.split(separator: "\n"))
        let index =
            zip(old, new).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(old.count, new.count)
        func line(_ lines: [Substring]) -> String { index < lines.count ? String(lines[index]) : "nothing" }
        return "before: \(line(old))\nafter:  \(line(new))"
    }

    private func describe(_ context: any IOMMUContext) throws -> [String] {
        var lines: [String] = []
        for object in context.objects() where object.kind != "vsmmu" {
            lines.append("\(object.kind) \(object.id) users \(object.users) \(object.refersTo) \(object.state)")
            if object.kind == "ioas" { lines.append(try mappings(context, object.id)) }
            if object.kind == "device" { lines += tables(context, object.id) }
        }
        lines += (context.sharedAddressing?.bonds() ?? []).map { "\($0)" }
        return lines
    }

    private func mappings(_ context: any IOMMUContext, _ ioas: ObjectID) throws -> String {
        let found = try context.mappings(ioas: ioas, from: 0, limit: .max).mappings
        let ranges = try context.iovaRanges(ioas: ioas)
        return "  \(found.map { "\($0)" }.joined(separator: " ")) in \(ranges)"
    }

    /// The entries of a device, but for where its tables lie, which nobody is told.
    private func tables(_ context: any IOMMUContext, _ device: ObjectID) -> [String] {
        guard let inspection = context.smmuInspection, let stream = try? inspection.stream(ofDevice: device) else {
            return []
        }
        let addresses = ["S1ContextPtr", "S2TTB", "TTB0", "TTB1"]
        func text(_ structure: StructureDescription?) -> String {
            (structure?.fields ?? []).filter { field in !addresses.contains { $0 == "\(field.name)" } }
                .map { "\($0.name)=\($0.value)" }.joined(separator: " ")
        }
        let pasids = [0] + (context.sharedAddressing?.bonds() ?? []).filter { $0.device == device }.map(\.pasid)
        return ["  STE " + text(try? inspection.streamTableEntry(of: stream))]
            + pasids.map { "  CD " + text(try? inspection.contextDescriptor(of: stream, substreamID: $0)) }
    }
}
