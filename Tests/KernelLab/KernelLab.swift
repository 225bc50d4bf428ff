import BareSMMU
import CLinux
import Glibc
import IOMMU
import IOMMUService
import JSONRPC
import KernelIOMMU
import LinuxIO
import ServiceTestSupport

/// The service over a real kernel's iommufd, with the devices of its mock driver in the place of vfio's: for a
/// user-mode Linux in which this is the first process.
@main
enum KernelLab {
    private static let socket = "/run/iommud.sock"
    /// Nanoseconds that the daemon may take to be there.
    private static let patience: UInt64 = 10_000_000_000

    static func main() {
        if CommandLine.arguments.contains("serve") { exit(serve()) }
        prepareSystem()
        let complaints = play() + DurableSessions.play { try connect() }
        for complaint in complaints { print("✘ \(complaint)") }
        print(complaints.isEmpty ? "scenarios: as they have to be" : "scenarios: \(complaints.count) are not")
        fflush(nil)
        // The end of the first process is the end of this Linux (panic=-1).
        exit(complaints.isEmpty ? 0 : 1)
    }

    // MARK: The daemon

    private static func serve() -> Int32 {
        var options = DaemonOptions(socket: socket, backend: .kernel)
        if CommandLine.arguments.contains("durable") {
            options.state = "/run/state"
            LabManager.adopt()
        }
        return DaemonProgram.run(options) { _, executor throws(IOMMUError) in
            let backend = try KernelBackend(calls: MockKernel(), inventory: MockInventory(), executor: executor)
            backend.equipment = { SMMUModels.equip($0) }
            return backend
        }
    }

    /// As an init does.
    private static func prepareSystem() {
        for (type, path) in [("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("tmpfs", "/tmp")] {
            if mount(type, path, type, 0, nil) != 0 { print("mount \(path): \(String(cString: strerror(errno)))") }
        }
    }

    // MARK: The scenarios

    private static func play() -> [String] {
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("/init"), strdup("serve"), nil]
        var child: pid_t = 0
        guard posix_spawn(&child, "/init", nil, nil, &arguments, environ) == 0 else {
            return ["the daemon cannot be started"]
        }
        do {
            let files = try scenarios()
            let differences = try ScenarioDifferences(try text(of: "/scenarios/differences"))
            var complaints: [String] = []
            for scenario in files { complaints += try play(scenario, differences) }
            print("\(files.count) scenarios, \(files.reduce(0) { $0 + $1.steps.count }) requests")
            kill(child, SIGTERM)
            var status: Int32 = 0
            waitpid(child, &status, 0)
            if status != 0 { complaints.append("the daemon ended with \(status)") }
            return complaints
        } catch {
            return ["\(error)"]
        }
    }

    private static func play(_ scenario: Scenario, _ differences: ScenarioDifferences) throws -> [String] {
        let client = try connect()
        // The session before ends on a worker.
        while try client.call("topology.list")["devices"]?.arrayValue?.contains(where: { $0["bound_by"] != nil })
            ?? false
        {
            sched_yield()
        }
        return scenario.play(differences: differences.expectations[scenario.title] ?? [:]) { method, params in
            try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#)
            guard let line = try client.receiveLine() else { throw SystemError(errno: ECONNRESET, method) }
            return try JSONValue(parsing: line)
        }
    }

    /// The daemon answers as soon as it is up.
    private static func connect() throws(SystemError) -> RPCClient {
        let end = MonotonicClock.nanoseconds &+ patience
        while true {
            do throws(SystemError) {
                return try RPCClient(path: socket, timeoutMilliseconds: 20_000)
            } catch {
                guard MonotonicClock.nanoseconds < end else { throw error }
                sched_yield()
            }
        }
    }

    private static func scenarios() throws -> [Scenario] {
        guard let directory = opendir("/scenarios") else { throw SystemError.current("open /scenarios") }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".scenarios") { names.append(name) }
        }
        return try names.sorted().flatMap { try Scenario.parse(try text(of: "/scenarios/\($0)")) }
    }

    private static func text(of path: String) throws(SystemError) -> String {
        let file = try Descriptor(opening: path, O_RDONLY)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(file.number, &buffer, buffer.count), count > 0 { bytes += buffer.prefix(count) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
