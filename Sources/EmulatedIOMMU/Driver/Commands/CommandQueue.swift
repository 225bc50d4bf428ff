import SMMUv3

/// The command queue as its producer: entries in queue memory, CMDQ_PROD, CMDQ_CONS.
///
/// Commands are collected and published together; ``sync()`` ends a batch and waits for it.
package final class CommandQueue {
    private let port: RegisterPort
    private let words: UnsafeMutablePointer<UInt64>
    /// CMDQ_BASE
    let baseRegister: UInt64
    private let indexMask: UInt32
    private let wrapMask: UInt32
    /// Behind a pointer: a class property would be guarded against overlapping access at every command.
    private let state: UnsafeMutablePointer<State>
    /// Called after each publication; a test probes translations here.
    package var observer: (() -> Void)? {
        didSet { state.pointee.isObserved = observer != nil }
    }
    /// Commands the SMMU refused.
    package private(set) var errors: UInt64 = 0

    private struct State {
        /// Next entry to write, with wrap bit.
        var producer: UInt32 = 0
        /// CMDQ_CONS as last read.
        var consumer: UInt32 = 0
        /// What CMDQ_PROD was last set to.
        var published: UInt32 = 0
        var isObserved = false
        var trace = CommandTrace()
    }

    /// Entries that can wait in the queue.
    package var slots: UInt32 { wrapMask }

    /// - Parameters:
    ///   - address: of 2^log2Size entries of 16 bytes, naturally aligned, mapped at `words`.
    init(port: RegisterPort, address: UInt64, log2Size: Int, words: UnsafeMutablePointer<UInt64>) {
        self.port = port
        self.words = words
        baseRegister = address | BaseRegister.allocate | UInt64(log2Size)
        wrapMask = 1 << UInt32(log2Size)
        indexMask = wrapMask - 1
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    deinit {
        state.pointee.trace.deallocate()
        state.deallocate()
    }

    // MARK: Producing

    @inline(__always)
    func append(_ command: Command) { append(command.word0, command.word1) }

    @inline(__always)
    func append(_ word0: UInt64, _ word1: UInt64) {
        if used >= wrapMask { publish() }
        let producer = state.pointee.producer
        let slot = Int(truncatingIfNeeded: producer & indexMask) &* 2
        words[slot] = word0
        words[slot &+ 1] = word1
        state.pointee.producer = (producer &+ 1) & (indexMask | wrapMask)
        state.pointee.trace.append(word0, word1)
    }

    /// CS = SEV, MSH = inner shareable, MSIAttr = write-back: the form without an MSI.
    private static let syncWord = UInt64(CommandOpcode.SYNC.rawValue) | 0x0fc0_2000

    /// Later commands wait for what stands before it; needs no ring of the doorbell of its own.
    @inline(__always)
    func appendSync() { append(Self.syncWord, 0) }

    /// Ends the batch with a CMD_SYNC; everything before it is complete on return.
    @inline(__always)
    func sync() {
        appendSync()
        publish()
    }

    /// Entries written and not consumed.
    @inline(__always)
    private var used: UInt32 { (state.pointee.producer &- state.pointee.consumer) & (indexMask | wrapMask) }

    /// Makes the written commands visible to the SMMU and waits until it has consumed them.
    func publish() {
        let producer = state.pointee.producer
        guard state.pointee.published != producer else { return }
        state.pointee.published = producer
        port.write(Register.CMDQ_PROD.rawValue, 4, UInt64(producer))
        let consumer = port.read(Register.CMDQ_CONS.rawValue) & QueueIndex.index
        state.pointee.consumer = consumer
        if consumer != producer { recover() }
        if state.pointee.isObserved { observer?() }
    }

    // MARK: Errors

    /// How often a CMD_SYNC is tried again that a device keeps from completing.
    private static let repetitions: UInt32 = 3

    /// The SMMU stopped at a command: acknowledge, take the command out of the way, go on (IHI 0070 7.1).
    private func recover() {
        // Every round gets at least one command further, but for the repeated CMD_SYNC; the last one only looks.
        var repeated: UInt32 = 0
        for _ in 0...wrapMask + Self.repetitions {
            let cons = port.read(Register.CMDQ_CONS.rawValue)
            let consumer = cons & QueueIndex.index
            state.pointee.consumer = consumer
            guard consumer != state.pointee.producer else { return }
            let gerror = port.read(.GERROR)
            let active = (gerror ^ port.read(.GERRORN)) & GERROR.CMDQ_ERR
            guard active != 0 else { return }
            errors &+= 1
            // A device did not answer an ATC_INV: the SYNC is tried again, then dropped.
            let error = CommandError(rawValue: (cons >> 24) & 0x7f)
            let isTimeout = error == .CERROR_ATC_INV_SYNC && repeated < Self.repetitions
            if isTimeout {
                repeated += 1
            } else {
                let slot = Int(consumer & indexMask) * 2
                words[slot] = Self.syncWord
                words[slot + 1] = 0
            }
            port.write(.GERRORN, port.read(.GERRORN) ^ GERROR.CMDQ_ERR)
        }
    }

    // MARK: Inspection

    /// How many commands were ever issued: the sequence number of the last one.
    package var issued: UInt64 { state.pointee.trace.issued }

    /// What is still known of the commands after `sequence`, at most `limit`, oldest first.
    package func commands(since sequence: UInt64, limit: Int) -> [(sequence: UInt64, command: Command)] {
        state.pointee.trace.entries(since: sequence, limit: limit)
    }
}
