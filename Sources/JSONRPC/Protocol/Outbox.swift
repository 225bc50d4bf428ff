import LinuxIO

/// What a connection has to send: bytes, and the descriptors that go with some of them; and whether it may go on.
///
/// Held by pointer, so that writing a reply needs neither reference counting nor exclusivity checks.
struct Outbox {
    /// Descriptors that leave together with the byte at `position`.
    struct Attachment {
        /// Counted from the first byte ever queued.
        private(set) var position: Int
        /// Where the reply that they belong to ends.
        private(set) var end: Int
        let descriptors: [SharedDescriptor]

        init(position: Int, end: Int, descriptors: [SharedDescriptor]) {
            (self.position, self.end, self.descriptors) = (position, end, descriptors)
        }

        mutating func move(by count: Int) { (position, end) = (position + count, end + count) }
    }

    /// Kept between messages; more is given back.
    static let usualCapacity = 16 << 10

    let bytes: UnsafeMutablePointer<ByteBuffer>
    /// Bytes sent since the connection began.
    var sent = 0
    /// First bytes of `bytes` that are already sent.
    var head = 0
    var attachments: [Attachment] = []
    /// A call waits for its answer: no other is carried out meanwhile.
    var isParked = false
    /// Nothing new is carried out until the service says so.
    var isHeld = false
    /// Its turn is over: it goes on in one of the next.
    var isTurnOver = false
    /// The user of the connection has to read replies before anything else is carried out: ``ClientBytes/mustRead``.
    var mustRead: UnsafeMutablePointer<Bool>?
    /// As many descriptors wait to be sent as may: nothing is carried out until some are.
    private(set) var isFullOfDescriptors = false
    /// No more requests are carried out: what is queued is sent, then the connection closes.
    var isClosing = false
    /// A batch waits to go on, or lost descriptors have to be reported.
    var hasUnfinished = false
    /// Descriptors of the reply being made.
    var attachedCount = 0
    /// Inside the array of a batch's replies.
    var isInBatch = false
    /// Descriptors wait that the client has sent.
    var hasReceived = false
    /// Bytes of the input that are done with.
    var inputDone = 0
    /// Behind the line in hand, counted as ``inputDone`` is.
    var lineEnd = 0
    /// Replies written in this batch.
    var batchReplies = 0
    /// Where its array begins, counted from the first byte ever queued.
    private var batchStart = 0
    /// While it is open, its array stays here as long as fewer bytes than this wait: something may come before it.
    var batchBytesKept = 0

    init() {
        bytes = .allocate(capacity: 1)
        bytes.initialize(to: ByteBuffer(capacity: 1024))
    }

    func deallocate() {
        bytes.pointee.deallocate()
        bytes.deallocate()
    }

    var pending: Int { bytes.pointee.count &- head }

    /// Bytes that may be sent now.
    var sendable: Int {
        isInBatch && pending < batchBytesKept && batchStart >= sent ? batchStart - sent : pending
    }

    /// Whether what is said now comes before the replies that are being written; else it has to wait for their end.
    var hasPlace: Bool { !isInBatch || batchStart >= sent }

    /// Puts bytes behind all finished replies: at the end, or before the array of a batch. Only where there is a place.
    mutating func place(_ source: UnsafePointer<UInt8>, _ count: Int) {
        guard isInBatch else { return bytes.pointee.append(source, count) }
        bytes.pointee.insert(source, count, at: batchStart - sent + head)
        for index in attachments.indices where attachments[index].position >= batchStart {
            attachments[index].move(by: count)
        }
        batchStart += count
    }

    /// Begins the reply to the request with this id: everything up to the `result` or `error` member.
    @inline(__always)
    mutating func open(id: UnsafePointer<UInt8>, _ length: Int) {
        if isInBatch {
            bytes.pointee.append(batchReplies == 0 ? UInt8(ascii: "[") : UInt8(ascii: ","))
            batchReplies &+= 1
        }
        bytes.pointee.append("{\"jsonrpc\":\"2.0\",\"id\":")
        bytes.pointee.append(id, length)
    }

    /// Ends a reply.
    @inline(__always)
    mutating func close() {
        bytes.pointee.append(UInt8(ascii: "}"))
        if !isInBatch { bytes.pointee.append(UInt8(ascii: "\n")) }
    }

    /// A place between replies to go back to.
    struct Mark {
        let count: Int
        let batchReplies: Int
        let attachments: Int
    }

    @inline(__always)
    var mark: Mark {
        Mark(count: bytes.pointee.count, batchReplies: batchReplies, attachments: attachments.count)
    }

    /// Forgets what was written since, and the descriptors with it.
    mutating func rollBack(to mark: Mark) {
        bytes.pointee.count = mark.count
        batchReplies = mark.batchReplies
        while attachments.count > mark.attachments {
            attachments.removeLast()
            isFullOfDescriptors = false
        }
    }

    mutating func beginBatch() {
        isInBatch = true
        batchReplies = 0
        batchStart = sent &- head &+ bytes.pointee.count
    }

    mutating func endBatch() {
        isInBatch = false
        if batchReplies > 0 { bytes.pointee.append("]\n") }
    }

    mutating func didSend(_ count: Int) {
        sent &+= count
        head &+= count
        guard head == bytes.pointee.count else { return compact() }
        head = 0
        bytes.pointee.clear(keepingAtMost: Self.usualCapacity)
    }

    /// Moves what is left to the front once what was sent is the larger part.
    private mutating func compact() {
        guard head > Self.usualCapacity, head > pending else { return }
        bytes.pointee.removeFirst(head)
        head = 0
    }

    /// Descriptors that wait to be sent.
    var unsentDescriptors: Int { attachments.reduce(0) { $0 + $1.descriptors.count } }

    /// Ties descriptors to the reply that was written last, from the byte at `position` on.
    mutating func attach(_ descriptors: [SharedDescriptor], from position: Int, limit: Int) {
        let origin = sent &- head
        attachments.append(
            .init(position: origin + position, end: origin + bytes.pointee.count, descriptors: descriptors))
        isFullOfDescriptors = unsentDescriptors >= limit
    }

    /// The first attachment has been sent: the receiver has descriptors of its own now.
    mutating func dropFirstAttachment() {
        attachments.removeFirst()
        isFullOfDescriptors = false
    }

    mutating func dropAttachments() {
        while !attachments.isEmpty { dropFirstAttachment() }
    }
}
