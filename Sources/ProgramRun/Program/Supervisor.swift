import CLinux
import Glibc
import JSONRPC
import LinuxIO

/// Answers the calls of a program that are about iommufd and vfio, until it ends.
final class Supervisor {
    let socketPath: String
    private let plan: RunPlan
    private let journal: CallJournal
    let files: GivenFiles
    let spaces = ProcessSpaces()
    private var listener: CallListener?
    private var contexts: [ObjectIdentifier: IOMMUFD] = [:]
    private var lastContext = 0
    /// By descriptor: what to do when it is readable.
    private var watched: [Int32: () -> Void] = [:]
    /// Queues whose doorbells are looked at until then, in nanoseconds of the clock.
    private var polled: [ObjectIdentifier: (queue: DescriptorQueue, until: UInt64)] = [:]
    /// The program's view of the file system.
    private var nodes: [NodeFile: RunPlan.Node] = [:]

    init(socketPath: String, plan: RunPlan, journal: CallJournal) throws(SystemError) {
        (self.socketPath, self.plan, self.journal) = (socketPath, plan, journal)
        files = try GivenFiles()
        watch(files.watcher.number) { [unowned self] in files.takeClosed() }
    }

    /// Takes the place where stopped calls arrive.
    ///
    /// - Parameter nodes: by file, as the program sees them.
    func begin(_ listener: consuming Descriptor, nodes: [NodeFile: RunPlan.Node]) {
        self.nodes = nodes
        let made = CallListener(listener)
        self.listener = made
        watch(made.descriptor) { [unowned self] in takeCall() }
    }

    /// The program has ended.
    func end() { files.endAll() }

    // MARK: The loop

    func watch(_ descriptor: Int32, _ body: @escaping () -> Void) { watched[descriptor] = body }
    func unwatch(_ descriptor: Int32) { watched[descriptor] = nil }

    /// A doorbell is looked at so often while it is in use, and for so long after it was.
    private static let (pollInterval, pollTime): (Int64, UInt64) = (50_000, 10_000_000)

    /// A queue's doorbell is looked at for a while.
    func startPolling(_ queue: DescriptorQueue) {
        polled[ObjectIdentifier(queue)] = (queue, MonotonicClock.nanoseconds + Self.pollTime)
    }

    func stopPolling(_ queue: DescriptorQueue) { polled[ObjectIdentifier(queue)] = nil }

    private func lookAtDoorbells() {
        guard !polled.isEmpty else { return }
        let now = MonotonicClock.nanoseconds
        for (queue, until) in Array(polled.values) where !queue.look() && until < now { stopPolling(queue) }
    }

    /// Waits for something to come, and does what there is to do.
    func turn() throws(SystemError) {
        lookAtDoorbells()
        var sources = watched.keys.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let count = clinux_poll(&sources, UInt32(sources.count), polled.isEmpty ? -1 : Self.pollInterval)
        guard count != -EINTR else { return }
        try SystemError.check(count, "poll")
        for entry in sources where entry.revents != 0 {
            // Nobody is left whose calls could be stopped.
            if entry.fd == listener?.descriptor, entry.revents & Int16(POLLIN) == 0 {
                unwatch(entry.fd)
            } else {
                watched[entry.fd]?()
            }
        }
    }

    // MARK: Calls

    private func takeCall() {
        guard let listener else { return }
        do throws(SystemError) {
            guard let call = try listener.next() else { return }
            // What was closed before the call is to be closed for it.
            files.takeClosed()
            perform(call, listener)
        } catch {
            unwatch(listener.descriptor)
        }
    }

    private func perform(_ call: StoppedCall, _ listener: CallListener) {
        do throws(Refusal) {
            let memory = ThreadMemory(call: call, listener: listener)
            switch call.kind {
            case .open, .openWithHow: try open(call, memory, listener)
            case .ioctl, .read, .write:
                guard let file = try file(of: call, listener) else { return listener.letGoOn(call) }
                let value = try perform(call, memory, on: file)
                journal.note(call, value)
                listener.answer(call, value)
            case .status, .statx: try describe(call, memory, listener)
            case .other: listener.letGoOn(call)
            }
        } catch {
            if let note = error.note { journal.warn(note) }
            journal.note(call, -Int64(error.errno))
            listener.refuse(call, error.errno)
        }
    }

    private func perform(
        _ call: StoppedCall, _ memory: ThreadMemory, on file: any GivenFile
    ) throws(Refusal) -> Int64 {
        let arguments = call.arguments
        switch call.kind {
        case .read:
            return try file.read(memory, offset: arguments[3], into: arguments[1], count: arguments[2])
        case .write:
            return try file.write(memory, offset: arguments[3], from: arguments[1], count: arguments[2])
        default:
            let command = UInt32(truncatingIfNeeded: arguments[1])
            return try file.control(ControlCall(memory: memory, command: command, address: arguments[2]))
        }
    }

    // MARK: Descriptors

    /// fstat(2) of what is ours: a character device, as the nodes are.
    private func describe(_ call: StoppedCall, _ memory: ThreadMemory, _ listener: CallListener) throws(Refusal) {
        let path = call.arguments[1]
        let name = path == 0 ? [0] : try memory.read(path, count: 1)
        guard name == [0], let copy = copy(of: call), files[copy.number] != nil else { return listener.letGoOn(call) }
        var status = [UInt8](repeating: 0, count: Int(CLINUX_STATUS_SIZE))
        let count = clinux_describe_as_device(
            copy.number, Int32(call.kind == .statx ? CLINUX_CALL_STATX : CLINUX_CALL_FSTAT),
            UInt32(truncatingIfNeeded: call.arguments[3]), RunPlan.standInMajor, RunPlan.standInMinor, &status)
        guard count >= 0 else { throw Refusal(-count) }
        try memory.write(call.arguments[2], Array(status.prefix(Int(count))))
        listener.answer(call, 0)
    }

    /// What a call's descriptor is; nil: nothing of ours. A node that the program opened in a way that is not stopped,
    /// is opened now.
    private func file(of call: StoppedCall, _ listener: CallListener) throws(Refusal) -> (any GivenFile)? {
        guard let copy = copy(of: call) else { return nil }
        if let known = files[copy.number] { return known }
        guard call.kind == .ioctl, let node = NodeFile(copy.number).flatMap({ nodes[$0] }) else { return nil }
        let opened = try open(node)
        let closesOnExec = fcntl(copy.number, F_GETFD) & FD_CLOEXEC != 0
        _ = try listener.give(opened, for: call, closeOnExec: closesOnExec, answers: false, at: call.descriptor)
        return files[opened.number]
    }

    /// The descriptor that a call is about once more; nil: there is none.
    private func copy(of call: StoppedCall) -> Descriptor? {
        do throws(Refusal) { return try copy(of: call.descriptor, from: call) } catch { return nil }
    }

    /// A descriptor of the program's once more.
    func copy(of descriptor: Int32, from call: StoppedCall) throws(Refusal) -> Descriptor {
        let thread = clinux_open_thread(call.thread)
        guard thread >= 0 else { throw Refusal(EBADF) }
        let pidfd = Descriptor(adopting: thread)
        let copy = clinux_take_descriptor(pidfd.number, descriptor)
        guard copy >= 0 else { throw Refusal(-copy) }
        return Descriptor(adopting: copy)
    }

    /// Gives the program a descriptor while its call goes on. - Returns: its number there.
    func give(_ descriptor: borrowing Descriptor, for call: StoppedCall) throws(Refusal) -> Int32 {
        guard let listener else { throw Refusal(EBADF) }
        return try listener.give(descriptor, for: call, closeOnExec: true, answers: false)
    }

    // MARK: Opening

    private func open(_ call: StoppedCall, _ memory: ThreadMemory, _ listener: CallListener) throws(Refusal) {
        guard !nodes.isEmpty, let found = ProgramPath(call, memory).find(),
            let node = NodeFile(found.number).flatMap({ nodes[$0] })
        else { return listener.letGoOn(call) }
        let opened = try open(node)
        let flags = try ProgramPath.flags(call, memory)
        let number = try listener.give(
            opened, for: call, closeOnExec: flags & UInt64(O_CLOEXEC) != 0, answers: true)
        journal.note(open: node.path, Int64(number))
    }

    private func open(_ node: RunPlan.Node) throws(Refusal) -> Descriptor {
        switch node.kind {
        case .iommu:
            return try files.make("iommu", size: 0) { (_) throws(Refusal) in try makeContext() }
        case .device(let name):
            return try files.make("vfio", size: VFIODevice.fileSize) { (memory) throws(Refusal) in
                VFIODevice(self, name: name, memory: memory)
            }
        }
    }

    private func makeContext() throws(Refusal) -> IOMMUFD {
        lastContext += 1
        let context = try IOMMUFD(self, session: "run-\(getpid())-\(lastContext)")
        contexts[ObjectIdentifier(context)] = context
        return context
    }

    /// A context has been closed.
    func forget(_ context: IOMMUFD) {
        contexts[ObjectIdentifier(context)] = nil
        spaces.forget(context.session)
    }

    // MARK: Notes

    /// Does what nobody waits for; what goes wrong is told.
    func noteIfRefused(_ body: () throws(Refusal) -> Void) {
        do throws(Refusal) { try body() } catch {
            journal.warn(error.note ?? String(cString: strerror(error.errno)))
        }
    }
}
