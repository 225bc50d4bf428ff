import CLinux
import Glibc
import JSONRPC
import LinuxIO

/// The address spaces of the program's processes, as sessions of the daemon know them.
///
/// A process keeps its number when it becomes another program. What the kernel places at random in each image tells
/// them apart.
final class ProcessSpaces {
    private struct Image: Hashable {
        let process: Int32
        /// Where the kernel put its parts: fields of `/proc/PID/stat`.
        let places: [Substring]
    }

    private struct Key: Hashable {
        let image: Image
        let session: String
    }

    private var known: [Key: UInt32] = [:]

    /// The address space of whoever makes a call, opened if the session does not know it.
    ///
    /// - Throws: `EFAULT` where it cannot be had.
    func space(of call: StoppedCall, in context: IOMMUFD) throws(Refusal) -> UInt32 {
        guard let image = Self.image(of: call.thread) else { throw Refusal(EFAULT) }
        let key = Key(image: image, session: context.session)
        if let mm = known[key] { return mm }
        let mm: UInt32
        do throws(SystemError) {
            let memory = try Descriptor(opening: "/proc/\(call.thread)/mem", O_RDWR)
            let areas = try Descriptor(opening: "/proc/\(call.thread)/maps", O_RDONLY)
            mm = try open(memory, areas, in: context).get()
        } catch {
            throw Refusal(EFAULT, note: "the program's memory cannot be opened: \(error)")
        }
        known[key] = mm
        return mm
    }

    /// A refusal does not come as what a failing system call is.
    private func open(
        _ memory: borrowing Descriptor, _ areas: borrowing Descriptor, in context: IOMMUFD
    ) -> Result<UInt32, SystemError> {
        do throws(Refusal) {
            return .success(
                try context.link.call("mm.open", descriptors: [memory.number, areas.number]).id("mm"))
        } catch {
            return .failure(SystemError(errno: error.errno, error.note ?? "mm.open"))
        }
    }

    /// A session is gone.
    func forget(_ session: String) {
        for key in known.keys where key.session == session { known[key] = nil }
    }

    private static func image(of thread: Int32) -> Image? {
        guard let status = text("/proc/\(thread)/status"),
            let line = status.split(separator: "\n").first(where: {
                $0.hasPrefix("Tgid:")
            }), let process = Int32(line.dropFirst(5).drop { $0 == "\t" || $0 == " " }),
            let facts = text("/proc/\(thread)/stat"), let end = facts.lastIndex(of: ")")
        else { return nil }
        // From the third field on: starttime, startcode, endcode, startstack, start_data … env_end.
        let fields = facts[facts.index(after: end)...].split(separator: " ")
        let wanted = [19, 23, 24, 25] + Array(42...48)
        guard let last = wanted.last, fields.count > last else { return nil }
        return Image(process: process, places: wanted.map { fields[$0] })
    }

    private static func text(_ path: String) -> String? {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = Glibc.read(file, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
    }
}
