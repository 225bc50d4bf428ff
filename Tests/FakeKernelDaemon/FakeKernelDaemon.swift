import Glibc
import IOMMU
import IOMMUService
import KernelIOMMU
import KernelTestSupport

/// The daemon over a kernel that is in its own process, with devices vfio0 to vfio2.
///
/// Usage: iommud-fake-kernel … --socket PATH; what else there is, is for the daemon that it stands for.
@main
enum FakeKernelDaemon {
    static func main() {
        let arguments = CommandLine.arguments
        guard let place = arguments.firstIndex(of: "--socket"), place + 1 < arguments.count else { exit(2) }
        let options = DaemonOptions(socket: arguments[place + 1], backend: .kernel)
        exit(
            DaemonProgram.run(options) { _, executor throws(IOMMUError) in
                let devices = (0..<3).map { FakeDevice("/dev/vfio/devices/vfio\($0)", group: UInt32($0)) }
                return try KernelBackend(
                    calls: FakeKernel(devices: devices), inventory: FakeInventory(devices), executor: executor)
            })
    }
}
