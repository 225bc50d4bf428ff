import ArgumentParser
import Glibc
import JSONRPC
import LinuxIO
import ProgramRun

/// `iommuctl run -- PROGRAM …`
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a program with a /dev/iommu and vfio devices of the daemon's.",
        discussion: """
            The program, which need not know of it, finds /dev/iommu and /dev/vfio/devices/vfio0, vfio1, … and what \
            sysfs tells of them. Behind them are the daemon's emulated devices:

              iommuctl run --device 0000:01:00.0 -- ./driver

            Its exit status is the program's; 126 or 127 if it could not be started.
            """)

    @OptionGroup var options: GlobalOptions

    @Option(
        name: .customLong("device"),
        help: ArgumentHelp(
            "A device for the program; the first is vfio0. Default: all that nobody holds.", valueName: "name"))
    var devices: [String] = []

    @Flag(help: "Show every call, as strace does.")
    var trace = false

    @Option(help: ArgumentHelp("Write what there is to say into this file.", valueName: "file"))
    var log: String?

    @Flag(help: .hidden)
    var stage = false

    @Argument(parsing: .postTerminator, help: ArgumentHelp("The program and its arguments.", valueName: "program"))
    var command: [String] = []

    func run() throws {
        guard !command.isEmpty else { throw Failure.usage("name a program: iommuctl run -- PROGRAM …") }
        guard !stage else { Glibc.exit(ProgramStage.run(command)) }
        let path = try options.connect().path
        let end: ProgramRun.End
        do {
            end = try ProgramRun(
                ProgramRun.Options(
                    socketPath: path, devices: devices, command: command, tracing: trace, log: log)
            ).run()
        } catch let problem as ProgramRun.Problem {
            throw Failure.usage(problem.description)
        } catch let refusal as RPCError {
            throw Failure.refused(refusal, method: "topology.list")
        } catch {
            throw Failure.unreachable("run: \(error)", hint: "`iommuctl run` needs Linux 5.19 with seccomp")
        }
        pass(on: end)
    }

    /// Ends as the program did.
    private func pass(on end: ProgramRun.End) -> Never {
        switch end {
        case .exited(let status): Glibc.exit(status)
        case .killed(let number):
            // No second core file.
            var limit = rlimit(rlim_cur: 0, rlim_max: 0)
            setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
            signal(number, SIG_DFL)
            var set = sigset_t()
            sigemptyset(&set)
            sigaddset(&set, number)
            sigprocmask(SIG_UNBLOCK, &set, nil)
            raise(number)
            Glibc.exit(128 + number)
        }
    }
}
