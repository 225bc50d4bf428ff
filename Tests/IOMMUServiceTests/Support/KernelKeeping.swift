import Glibc
import IOMMU
import JSONRPC
import KernelIOMMU
import KernelTestSupport
import LinuxIO
import Synchronization
import Testing

@testable import IOMMUService

/// A daemon over a kernel that outlives it.
final class KernelKeeping {
    let kernel: FakeKernel
    let inventory: FakeInventory
    let keeping: KeepingBench

    init(
        release: KernelVersion = KernelVersion(7, 2), store: Int = 256,
        _ change: @escaping (inout Configuration) -> Void = { _ in }
    ) throws {
        var devices = (0..<4).map { FakeDevice("/dev/vfio/devices/vfio\($0)", group: UInt32($0 < 3 ? $0 : 2)) }
        devices[0].pasidBits = 4
        let (kernel, inventory) = (FakeKernel(release: release, devices: devices), FakeInventory(devices))
        (self.kernel, self.inventory) = (kernel, inventory)
        keeping = try KeepingBench(store: store) {
            let work = try TurnWork()
            var configuration = Configuration()
            configuration.limits.storedDescriptorsPerUID = store
            change(&configuration)
            return try ServiceBench(
                backend: try KernelBackend(calls: kernel, inventory: inventory, executor: work),
                configuration: configuration, loop: work.loop)
        }
        keeping.onDeath = { kernel.die() }
        keeping.onEnd = { [unowned keeping] in
            // Its descriptors are closed, by turns that it does not have any more.
            keeping.keeper.files.tellOfRemovals()
            keeping.keeper.files.fail(SystemError(errno: EIO, "go on"))
            for _ in 0..<4 { try keeping.bench.handleReady() }
            kernel.revive()
        }
    }

    /// Turns of the daemon's loop, each with its end, until something is so.
    func turn(until isSo: () throws -> Bool) throws {
        var turns = 0
        while try !isSo() {
            guard turns < 1000 else { throw KernelKeepingError.nothingHappens }
            turns += 1
            try keeping.bench.handleReady()
            keeping.endTurn()
        }
    }

    /// Calls a method, and lets the turns that it takes come to their ends. - Returns: the reply.
    func answer(_ client: PlayedClient, _ method: String, _ params: String = "{}") throws -> JSONValue {
        client.send(method, params)
        try turn { client.hasLine }
        keeping.endTurn()
        return try client.receive()
    }

    /// As ``answer(_:_:_:)``, of what is not refused. - Returns: the result.
    @discardableResult
    func call(_ client: PlayedClient, _ method: String, _ params: String = "{}") throws -> JSONValue {
        let reply = try answer(client, method, params)
        return try #require(reply["result"], "\(method) \(params): \(reply.text)")
    }

    func connect(_ session: String) throws -> PlayedClient {
        let client = try keeping.bench.connect()
        try call(client, "session.attach", #"{"name":"\#(session)"}"#)
        return client
    }

    /// Everything that is to outlive the daemon, without asking the kernel, in words.
    var state: String {
        get throws {
            var lines: [String] = []
            for session in keeping.service.sessions.all {
                guard let name = session.name else { continue }
                lines.append("session \(name), \(session.context.mappedBytes) bytes")
                for object in session.context.objects() {
                    lines.append("\(object.kind) \(object.id) users \(object.users) \(object.refersTo) \(object.state)")
                    guard object.kind == "ioas" else { continue }
                    let mappings = try session.context.mappings(ioas: object.id, from: 0, limit: .max).mappings
                    lines += mappings.map { "  \($0)" }
                }
            }
            return lines.joined(separator: "\n")
        }
    }

    /// What the books say is in the iommufds of named sessions, as the kernel describes it.
    var books: [String] {
        get throws {
            try keeping.service.sessions.all.filter { $0.name != nil }.map { try describe($0.context) }.sorted()
        }
    }

    private func describe(_ context: any IOMMUContext) throws -> String {
        let kinds = ["ioas", "hwpt", "device", "fault", "viommu", "vdevice", "veventq"]
        return try context.objects().filter { kinds.contains($0.kind) }.sorted { $0.id < $1.id }.map { object in
            switch object.kind {
            case "ioas":
                let mappings = try context.mappings(ioas: object.id, from: 0, limit: .max).mappings
                return "ioas \(object.id)\(mappings.map { " \($0.iova)...\($0.iova + ($0.length - 1))" }.joined())"
            case "device": return "device \(object.id)\(attachments(object))"
            default: return "\(object.kind) \(object.id)"
            }
        }.joined(separator: ", ")
    }

    private func attachments(_ device: ObjectDescription) -> String {
        var attached: [(UInt64, UInt64)] = []
        for member in device.state {
            if member.key == "hwpt", case .number(let hwpt) = member.value { attached.append((0, hwpt)) }
            guard member.key == "pasids", case .object(let pasids) = member.value else { continue }
            for pasid in pasids {
                if let key = UInt64(pasid.key), case .number(let hwpt) = pasid.value { attached.append((key, hwpt)) }
            }
        }
        return attached.sorted { $0.0 < $1.0 }.map { " \($0.0):\($0.1)" }.joined()
    }
}

enum KernelKeepingError: Error {
    case nothingHappens
}
