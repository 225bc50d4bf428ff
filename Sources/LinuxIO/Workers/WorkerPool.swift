import CLinux
import DequeModule
import Glibc
import Synchronization

/// Threads for work that may block, so that the loop does not.
///
/// Jobs with one key run one after the other in the order they were submitted; those with different keys run in
/// parallel. Used on the loop's thread; only the work itself runs elsewhere.
public final class WorkerPool {
    private struct Job {
        let number: UInt64
        let key: UInt64
        let run: @Sendable () -> Void
    }

    private let capacity: Int
    private let threads: Int
    private let crew: WorkerCrew
    private var started = 0
    private var lastNumber: UInt64 = 0
    private var completions: [UInt64: (key: UInt64, body: () -> Void)] = [:]
    /// Keys with a job at work, and what waits behind it.
    private var waiting: [UInt64: Deque<Job>] = [:]

    /// - Parameters:
    ///   - threads: Jobs at work at one time. Threads start when they are first needed.
    ///   - capacity: Jobs accepted and not yet completed.
    public init(loop: EventLoop, threads: Int = 4, capacity: Int = 1024) throws(SystemError) {
        self.threads = threads
        self.capacity = capacity
        let relay = CompletionRelay()
        let mailbox = try loop.openMailbox(of: UInt64.self, capacity: capacity) { relay.pool?.completed($0) }
        crew = try WorkerCrew(mailbox)
        relay.pool = self
    }

    deinit { crew.dismiss() }

    /// Jobs accepted and not yet completed.
    public var pending: Int { completions.count }

    /// Runs `work` on another thread, then `completion` with its result on the loop's thread.
    ///
    /// - Returns: `false` if the pool is full: nothing was accepted.
    public func submit<Output: Sendable>(
        key: UInt64, _ work: @escaping @Sendable () -> Output, completion: @escaping (Output) -> Void
    ) -> Bool {
        guard completions.count < capacity else { return false }
        lastNumber += 1
        let result = WorkResult<Output>()
        completions[lastNumber] = (key, { result.take().map(completion) })
        let job = Job(number: lastNumber, key: key) { result.put(work()) }
        if waiting[key] != nil {
            waiting[key]?.append(job)
        } else {
            waiting[key] = []
            handOut(job)
        }
        return true
    }

    private func handOut(_ job: Job) {
        if started < threads, crew.start() { started += 1 }
        crew.add(number: job.number, job.run)
    }

    private func completed(_ number: UInt64) {
        guard let completion = completions.removeValue(forKey: number) else { return }
        if let next = waiting[completion.key]?.popFirst() {
            handOut(next)
        } else {
            waiting[completion.key] = nil
        }
        completion.body()
    }

    /// The mailbox outlives the pool; messages for a pool that is gone are dropped.
    private final class CompletionRelay {
        weak var pool: WorkerPool?
    }
}

/// A result on its way from a worker to the loop.
private final class WorkResult<Output: Sendable>: Sendable {
    private let output = Mutex<Output?>(nil)

    func put(_ value: Output) { output.withLock { $0 = value } }

    func take() -> Output? {
        output.withLock { output in
            let taken = output
            output = nil
            return taken
        }
    }
}

/// What the threads share: the jobs ready to run, and a semaphore that counts them.
private final class WorkerCrew: Sendable {
    private struct State {
        var jobs = Deque<(number: UInt64, run: @Sendable () -> Void)>()
        var isDismissed = false
    }

    private static let stackBytes = 512 << 10

    private let state = Mutex(State())
    private let semaphore: Descriptor
    private let done: Mailbox<UInt64>

    init(_ done: Mailbox<UInt64>) throws(SystemError) {
        self.done = done
        let number = eventfd(0, Int32(EFD_CLOEXEC | EFD_SEMAPHORE))
        guard number >= 0 else { throw .current("eventfd") }
        semaphore = Descriptor(adopting: number)
    }

    func add(number: UInt64, _ run: @escaping @Sendable () -> Void) {
        state.withLock { $0.jobs.append((number, run)) }
        _ = eventfd_write(semaphore.number, 1)
    }

    /// Lets the threads end when they have finished what they are at.
    func dismiss() {
        state.withLock { $0.isDismissed = true }
        _ = eventfd_write(semaphore.number, 1 << 20)
    }

    /// Starts one thread that receives no signals.
    func start() -> Bool {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(self).toOpaque()
        guard pthread_create(&thread, &attributes, workerThread, argument) == 0 else {
            Unmanaged<WorkerCrew>.fromOpaque(argument).release()
            return false
        }
        return true
    }

    /// A thread's life: one job at a time until dismissed.
    func work() {
        while true {
            var count: eventfd_t = 0
            guard eventfd_read(semaphore.number, &count) == 0 || errno == EINTR else { return }
            if state.withLock({ $0.isDismissed }) { return }
            if let number = workOff() { done.post(number) }
        }
    }

    /// Runs the next job, and lets go of what it held before anybody hears that it is done.
    private func workOff() -> UInt64? {
        guard let job = state.withLock({ $0.jobs.popFirst() }) else { return nil }
        job.run()
        return job.number
    }
}

/// Where a worker thread begins: a free function, which belongs to no actor.
private func workerThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    Unmanaged<WorkerCrew>.fromOpaque(argument).takeRetainedValue().work()
    return nil
}
