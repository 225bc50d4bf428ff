import Glibc
import IOMMU
import LinuxIO

/// The daemon's side of one helper: a request at a time, and what it answers.
final class HelperProcess {
    /// What happened.
    enum News {
        /// The request is done.
        case done(HelperJob.Outcome)
        /// It has gone, or said what no helper says.
        case lost
    }

    private let process: HelperProgram
    private let socket: PacketSocket
    let buffer: HelperBuffer
    private(set) var job: HelperJob?
    private var number: UInt64 = 0
    private var socketWatch: DescriptorWatch?
    private var endWatch: DescriptorWatch?
    /// What it had done when it was last looked at, and when that was.
    private var seen: (progress: UInt64, time: UInt64) = (0, 0)
    private(set) var isKilled = false

    /// Starts a helper.
    ///
    /// - Parameters:
    ///   - program: its file.
    ///   - instance: whose it is; see ``LeftoverHelper``.
    /// - Throws: `EMFILE`, `ENOMEM`, `EAGAIN` and the like.
    init(_ program: String, of instance: String) throws(SystemError) {
        let file = try HelperBuffer.make()
        buffer = try HelperBuffer(mapping: file)
        var other: Descriptor?
        socket = try PacketSocket(pairedWith: &other)
        guard let end = other.take() else { throw SystemError(errno: EBADF, "socketpair") }
        process = try HelperProgram(program, MemoryHelper.argument, instance, socket: end, file: file)
    }

    /// - Parameters:
    ///   - news: called when a request is through; not after ``kill()``.
    ///   - ended: called once the process has ended and has been reaped.
    func watch(
        by services: any LoopServices, news: @escaping (News) -> Void, ended: @escaping () -> Void
    ) throws(SystemError) {
        socketWatch = try services.watch(socket.descriptor) { [unowned self] in
            if let heard = hear() { news(heard) }
        }
        endWatch = try services.watch(process.end) { [unowned self] in
            guard process.reap() else { return }
            socketWatch?.end()
            endWatch?.end()
            ended()
        }
    }

    // MARK: Requests

    /// Gives it a job. It has none.
    ///
    /// - Throws: `EPIPE` and the like if it has gone.
    func begin(_ job: HelperJob) throws(SystemError) {
        number &+= 1
        buffer.data.copyBytes(from: job.payload)
        try socket.send(job.request(number: number).bytes, with: job.numbers)
        self.job = job
        seen = (buffer.progress, MonotonicClock.nanoseconds)
    }

    /// Takes back what it has not done.
    func takeJob() -> HelperJob? {
        let job = job
        self.job = nil
        return job
    }

    /// Tells it not to go on with what it moves.
    func cancel() { buffer.cancelled = number }

    /// Nothing is heard of it any more but its end.
    func kill() {
        guard !isKilled else { return }
        isKilled = true
        socketWatch?.end()
        process.kill()
    }

    /// For how long it has not got on, in nanoseconds.
    func silence(at time: UInt64) -> UInt64 {
        if buffer.progress != seen.progress { seen = (buffer.progress, time) }
        return time &- seen.time
    }

    /// It has begun to work.
    var hasStarted: Bool { buffer.progress != 0 }

    private func hear() -> News? {
        do throws(SystemError) {
            guard var packet = try socket.receive(atMost: HelperReply.largest) else { return .lost }
            guard let job, let reply = HelperReply(packet.bytes[...]), reply.number == number else { return .lost }
            return outcome(of: job, reply, &packet).map { .done($0) } ?? .lost
        } catch {
            return error.errno == EAGAIN || error.errno == EINTR ? nil : .lost
        }
    }

    /// nil for an answer to another question.
    private func outcome(of job: HelperJob, _ reply: HelperReply, _ packet: inout Packet) -> HelperJob.Outcome? {
        switch (job.work, reply.result) {
        case (.openPID, .opened(let pid, let layout, let facts)), (.openPidfd, .opened(let pid, let layout, let facts)),
            (.openFiles, .opened(let pid, let layout, let facts)):
            guard let mem = packet.takeDescriptor(), let maps = packet.takeDescriptor() else {
                return packet.hasLostDescriptors ? .refused(IOMMUError.noDescriptors) : nil
            }
            let memory = ProcessMemory(mem: mem, maps: maps, facts)
            return .opened(OpenedProcess(memory: memory, pid: pid, layout: layout, files: KernelProcessFiles()))
        case (.openPID, .refused(let error)), (.openPidfd, .refused(let error)), (.openFiles, .refused(let error)):
            return .refused(error)
        case (.compare(_, let others), .compared(let answers)):
            return answers.count == others.count ? .answered(reply.result) : nil
        case (.move(.read(_, let length), _), .moved):
            return .read(Array(buffer.data.prefix(Int(clamping: length))))
        case (.probe(let count), .probed(let answers)):
            return answers.count == count ? .answered(reply.result) : nil
        case (.touch, .touched), (.touch, .failed), (.move, .moved), (.move, .failed), (.check, .moved),
            (.check, .failed):
            return .answered(reply.result)
        default: return nil
        }
    }
}
