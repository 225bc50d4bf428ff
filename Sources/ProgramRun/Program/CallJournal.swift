import Glibc
import LinuxIO

/// What is told of a run: warnings on the terminal, each once, and every call where that is asked for.
final class CallJournal {
    private let tracing: Bool
    /// Held open; what is written to is ``number``.
    private let file: Descriptor?
    private let number: Int32
    private var told: Set<String> = []
    /// More different ones are not remembered.
    private static let mostTold = 256

    /// - Parameter log: a file for what is told; nil: standard error.
    init(tracing: Bool, log: String?) throws(SystemError) {
        self.tracing = tracing
        guard let log else {
            file = nil
            number = STDERR_FILENO
            return
        }
        number = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard number >= 0 else { throw .current("open \(log)") }
        file = Descriptor(adopting: number)
    }

    /// Tells something once.
    func warn(_ text: String) {
        guard told.count < Self.mostTold, told.insert(text).inserted else { return }
        write("iommuctl run: \(text)\n")
    }

    /// A call and what it returned, as strace shows it.
    func note(_ call: StoppedCall, _ result: Int64) {
        guard tracing else { return }
        let arguments = call.arguments
        let text: String
        switch call.kind {
        case .ioctl:
            let command = UInt32(truncatingIfNeeded: arguments[1])
            text = "ioctl(\(call.descriptor), \(CommandName.name(of: command)), 0x\(String(arguments[2], radix: 16)))"
        case .read, .write:
            let name = call.kind == .read ? "pread" : "pwrite"
            text = "\(name)(\(call.descriptor), …, \(arguments[2]), 0x\(String(arguments[3], radix: 16)))"
        case .open, .openWithHow: text = "open(…)"
        case .status, .statx, .other: return
        }
        note(call.thread, text, result)
    }

    /// An open of a node.
    func note(open path: String, _ result: Int64) {
        if tracing { write("open(\"\(path)\") = \(result)\n") }
    }

    private func note(_ thread: Int32, _ text: String, _ result: Int64) {
        let shown = result < 0 ? "-1 \(Errno.name(of: Int32(-result)))" : String(result)
        write("[\(thread)] \(text) = \(shown)\n")
    }

    private func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(number, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { return }
            bytes = bytes.dropFirst(max(count, 0))
        }
    }
}

/// What commands are called.
enum CommandName {
    private static let devices: [UInt32: String] = [
        107: "VFIO_DEVICE_GET_INFO", 108: "VFIO_DEVICE_GET_REGION_INFO", 109: "VFIO_DEVICE_GET_IRQ_INFO",
        110: "VFIO_DEVICE_SET_IRQS", 111: "VFIO_DEVICE_RESET", 112: "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
        113: "VFIO_DEVICE_PCI_HOT_RESET", 117: "VFIO_DEVICE_FEATURE", 118: "VFIO_DEVICE_BIND_IOMMUFD",
        119: "VFIO_DEVICE_ATTACH_IOMMUFD_PT", 120: "VFIO_DEVICE_DETACH_IOMMUFD_PT", 100: "VFIO_GET_API_VERSION",
        101: "VFIO_CHECK_EXTENSION", 102: "VFIO_SET_IOMMU",
    ]

    static func name(of command: UInt32) -> String {
        IOMMUFD.command(command & 0xff)?.name ?? devices[command & 0xff] ?? "0x" + String(command, radix: 16)
    }
}
