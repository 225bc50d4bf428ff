import Glibc
import IOMMU
import LinuxIO

/// The helper's side: touches memory of other processes as it is told to, one request after the other, until the daemon
/// is gone. It may wait for ever in any of them.
package final class MemoryHelper {
    private let socket: PacketSocket
    private let buffer: HelperBuffer
    private let files: any ProcessFiles
    private let willServe: (_ uid: UInt32) -> Void

    /// - Parameter willServe: called before each request with the user whose address space it is about.
    init(
        socket: consuming PacketSocket, buffer: HelperBuffer, files: any ProcessFiles = KernelProcessFiles(),
        willServe: @escaping (_ uid: UInt32) -> Void = { _ in }
    ) {
        self.socket = socket
        self.buffer = buffer
        self.files = files
        self.willServe = willServe
    }

    // MARK: The program

    /// The first argument that makes the daemon's program a helper; the second says of which daemon.
    package static let argument = "memory-helper"
    /// What `/proc/PID/comm` of a helper begins with; the user's number in hexadecimal follows.
    static let namePrefix = "iommud-"

    /// A helper's life. - Returns: the exit status: 0, or 1 for one that nobody started as a helper.
    package static func run() -> Int32 {
        HelperProgram.dieWithParent()
        let file = Descriptor(adopting: HelperProgram.fileNumber)
        guard let buffer = try? HelperBuffer(mapping: file) else { return 1 }
        _ = consume file
        let socket = PacketSocket(adopting: Descriptor(adopting: HelperProgram.socketNumber))
        var shown: UInt32?
        let helper = MemoryHelper(socket: socket, buffer: buffer) { uid in
            guard shown != uid else { return }
            shown = uid
            HelperProgram.name(name(of: uid))
        }
        return helper.serve() ? 0 : 1
    }

    /// Fits into the 15 bytes that a name has.
    static func name(of uid: UInt32) -> String {
        let digits = String(uid, radix: 16)
        return namePrefix + String(repeating: "0", count: 8 - digits.count) + digits
    }

    // MARK: Requests

    /// Answers until the daemon has gone. - Returns: false after something that the daemon never says.
    func serve() -> Bool {
        buffer.makeProgress()
        do throws(SystemError) {
            while var packet = try socket.receive(atMost: HelperRequest.largest) {
                guard let request = HelperRequest(packet.bytes[...]), packet.descriptorCount == request.descriptors
                else { return false }
                willServe(request.uid)
                buffer.makeProgress()
                let (result, memory) = answer(request, &packet)
                _ = consume packet
                try socket.send(
                    HelperReply(number: request.number, result: result).bytes, with: memory?.descriptors ?? [])
            }
            return true
        } catch {
            return error.errno == EPIPE || error.errno == ECONNRESET
        }
    }

    /// - Returns: the answer, and what was opened.
    private func answer(
        _ request: HelperRequest, _ packet: inout Packet
    ) -> (HelperReply.Result, ProcessMemory?) {
        if case .probe(let count) = request.work {
            return (.probed((0..<count).map { _ in probe(packet.takeDescriptor(), request.isWritable) }), nil)
        }
        let first = packet.takeDescriptor()
        let second = packet.takeDescriptor()
        switch request.work {
        case .openPID(let pid, let uid, let gid):
            return open(.pid(pid, Self.client(uid, gid)))
        case .openPidfd(let uid, let gid):
            guard let pidfd = first else { return (.failed(.gone), nil) }
            return open(.pidfd(pidfd, Self.client(uid, gid)))
        case .openFiles:
            guard let mem = first, let maps = second else { return (.failed(.gone), nil) }
            return open(.files(mem: mem, maps: maps))
        case .compare(let pid, let others):
            return (.compared(others.map { files.compareMM(pid, $0) }), nil)
        case .touch, .move, .check, .probe:
            guard let mem = first, let maps = second else { return (.failed(.gone), nil) }
            let facts = ProcessMemory.Facts(isWritable: request.isWritable, hasQuery: request.hasQuery)
            return (work(request, in: ProcessMemory(mem: mem, maps: maps, facts, files: files)), nil)
        }
    }

    /// Who asks, as far as it matters here.
    private static func client(_ uid: UInt32, _ gid: UInt32) -> ClientIdentity {
        ClientIdentity(uid: uid, gid: gid, pid: 0, isAdmin: false)
    }

    private func open(_ process: consuming NamedProcess) -> (HelperReply.Result, ProcessMemory?) {
        do throws(IOMMUError) {
            let opened = try process.candidate(files).examine().get()
            return (.opened(pid: opened.pid, opened.layout, opened.memory.facts), opened.memory)
        } catch {
            return (.refused(error), nil)
        }
    }

    private func probe(_ mem: consuming Descriptor?, _ isWritable: Bool) -> Bool {
        guard let mem else { return true }
        return ProcessMemory.isAlive(mem.number, isWritable: isWritable, files)
    }

    private func work(_ request: HelperRequest, in memory: ProcessMemory) -> HelperReply.Result {
        switch request.work {
        case .touch(let address, let write):
            switch memory.touch(address, write: write) {
            case .success(let area): return .touched(area)
            case .failure(let failure): return .failed(failure)
            }
        case .move(let piece, let previous):
            let mover = ProcessMover(memory: memory, buffer: buffer.data) { [buffer] in
                buffer.makeProgress()
                return buffer.cancelled != request.number
            }
            switch mover.move(piece, previous: previous) {
            case .success(let checksum): return .moved(checksum: checksum)
            case .failure(let failure): return .failed(failure)
            }
        case .check(let address, let length, let access):
            do throws(ProcessMemory.Failure) {
                try memory.check(address, length: length, access) { buffer.makeProgress() }
                return .moved(checksum: nil)
            } catch {
                return .failed(error)
            }
        case .openPID, .openPidfd, .openFiles, .compare, .probe: return .failed(.gone)
        }
    }
}
