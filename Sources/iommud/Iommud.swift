import ArgumentParser
import BareSMMU
import EmulatedIOMMU
import Glibc
import IOMMU
import IOMMUService
import KernelIOMMU

/// The program: the daemon, or one of its helpers, which are the same file.
@main
enum Program {
    static func main() {
        if CommandLine.arguments.count == 3, CommandLine.arguments[1] == MemoryHelper.argument {
            exit(MemoryHelper.run())
        }
        Iommud.main()
    }
}

/// The daemon that owns the IOMMU for a machine.
struct Iommud: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "iommud",
        abstract: "Owns the IOMMU of a machine and serves it as JSON-RPC on a Unix socket.",
        discussion: """
            Without a configuration file it emulates a small machine with two SMMUv3s; --backend kernel drives the \
            machine's own IOMMUs. SIGHUP reads the configuration \
            again, SIGTERM lets requests in flight finish. Exit status 78: the configuration cannot be used.
            """,
        version: "iommud \(DaemonVersion.text)"
    )

    @Option(help: "The configuration file (default: /etc/iommud/iommud.toml, if it is there).")
    var config: String?

    @Option(
        help: """
            Path of the socket (default: the one systemd passes, $XDG_RUNTIME_DIR/iommud.sock, \
            or /tmp/iommud-$UID/iommud.sock).
            """)
    var socket: String?

    @Option(help: "Directory of what outlives a restart (default: $RUNTIME_DIRECTORY, or beside the socket).")
    var state: String?

    @Option(
        help: """
            emulated; kernel: the machine's own IOMMUs, through /dev/iommu; auto: those if they can be had. \
            Wins over the configuration.
            """)
    var backend: BackendConfiguration.Kind?

    @Option(help: "trace, debug, info, notice, warning, error or critical; wins over the configuration.")
    var logLevel: DaemonConfiguration.LogLevel?

    @Flag(help: "Only say whether the configuration can be used.")
    var checkConfig = false

    @Flag(help: "Give up all named sessions that were stored, and end; for a journal that cannot be read.")
    var discardState = false

    @Flag(help: "Only print what rpc.discover answers: the OpenRPC document of all methods.")
    var openrpc = false

    mutating func run() throws {
        if openrpc {
            print(MethodCatalog.document().text)
            return
        }
        let options = DaemonOptions(
            configuration: config, socket: socket, state: state, logLevel: logLevel, backend: backend)
        let socket = socket
        let factory: BackendFactory = { (configuration, executor) throws(IOMMUError) in
            try makeBackend(configuration, executor, socket: socket ?? configuration.daemon.socket)
        }
        if discardState {
            let status = DaemonProgram.discardState(options)
            if status != 0 { throw ExitCode(status) }
            return
        }
        let status =
            checkConfig
            ? DaemonProgram.check(options, makeBackend: factory) : DaemonProgram.run(options, makeBackend: factory)
        if status != 0 { throw ExitCode(status) }
    }
}

extension DaemonConfiguration.LogLevel: ExpressibleByArgument {}
extension BackendConfiguration.Kind: ExpressibleByArgument {}

/// The one place that knows which backends there are.
///
/// - Parameter socket: what tells this daemon from others of its user; nil: the standard one, or one that is passed.
private func makeBackend(
    _ configuration: Configuration, _ executor: any WorkExecutor, socket: String?
) throws(IOMMUError) -> any IOMMUBackend {
    switch configuration.backend.type {
    case .emulated: return try makeEmulation(configuration, executor, socket: socket)
    case .kernel: return try makeKernel(executor)
    case .auto:
        do {
            return try makeKernel(executor)
        } catch {
            // Why not is what --backend kernel tells.
            return try makeEmulation(configuration, executor, socket: socket)
        }
    }
}

private func makeEmulation(
    _ configuration: Configuration, _ executor: any WorkExecutor, socket: String?
) throws(IOMMUError) -> any IOMMUBackend {
    let backend = try EmulatedBackend(
        topology: configuration.topology, executor: executor, tableSpace: UInt64(configuration.backend.tableSpace))
    backend.equipment = { SMMUModels.equip($0) }
    var limits = MemoryHelpers.Limits()
    limits.working = configuration.limits.workers
    limits.stuckOfUser = configuration.limits.stuckAddressSpaces
    backend.sva.memory = MemoryHelpers(services: executor, instance: socket ?? "-", limits: limits)
    return backend
}

private func makeKernel(_ executor: any WorkExecutor) throws(IOMMUError) -> any IOMMUBackend {
    let backend = try KernelBackend(inventory: SystemInventory(services: executor), executor: executor)
    backend.equipment = { SMMUModels.equip($0) }
    return backend
}
