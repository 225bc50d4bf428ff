// What is said besides replies: between them, in order.

extension Connection {
    /// Queues a notification, written by `body` as one JSON value; `false` if the client is so far behind that it is
    /// lost.
    ///
    /// Notifications keep their order and go between replies, never into one.
    public func notify(_ body: (JSONWriter) -> Void) -> Bool {
        guard !isClosing, notifications.pointee.count < limits.notificationBytes,
            outbox.pointee.mustRead?.pointee != true || notifications.pointee.count == 0
        else { return false }
        body(JSONWriter(notifications))
        notifications.pointee.append(UInt8(ascii: "\n"))
        account(input: charged.unfinished)
        transport?.connectionHasNotification()
        return true
    }

    var hasNotifications: Bool { notifications.pointee.count > 0 }

    /// Moves waiting notifications to the outbox, unless a batch's array is open or the client is far behind.
    func mergeNotifications() {
        guard notifications.pointee.count > 0, !outbox.pointee.isInBatch, unfinished == nil,
            outbox.pointee.pending < limits.outputHighWater
        else { return }
        outbox.pointee.bytes.pointee.append(notifications.pointee.base, notifications.pointee.count)
        notifications.pointee.clear(keepingAtMost: Outbox.usualCapacity)
        onNotificationRoom?()
    }

    // MARK: In place

    /// Says something before the reply to the call in hand, and behind all that was said or replied before.
    ///
    /// In a batch it comes before the array, of which nothing has been sent as long as less waits than a client may be
    /// behind with; then, behind it. Only for the connection whose call is being carried out, or parked.
    ///
    /// - Returns: false, and nothing is said, while the client is too far behind, or if it has gone.
    public func tell(_ body: (JSONWriter) -> Void) -> Bool {
        guard !isClosing, unfinished == nil, outbox.pointee.pending < limits.outputHighWater else { return false }
        keepBatches()
        body(JSONWriter(notifications))
        notifications.pointee.append(UInt8(ascii: "\n"))
        guard outbox.pointee.hasPlace else { return true }
        outbox.pointee.place(notifications.pointee.base, notifications.pointee.count)
        notifications.pointee.clear(keepingAtMost: Outbox.usualCapacity)
        onNotificationRoom?()
        return true
    }

    /// From now on arrays of replies to batches are sent as a whole, where that is no more than a client may be behind
    /// with: what is told in between has its place before them.
    public func keepBatches() { outbox.pointee.batchBytesKept = limits.outputHighWater }

    /// Sends what was told at once; false if the client has to read first: then `whenSent` is called, once, when it
    /// has. It is not called once the connection has ended.
    public func sendNow(_ whenSent: @escaping () -> Void) -> Bool {
        if let transport { transport.connectionSendsNow() }
        guard outbox.pointee.sendable > 0, !isEnded else { return true }
        self.whenSent = whenSent
        return false
    }

    /// Bytes have been sent.
    func noteSent() {
        guard let waiting = whenSent, outbox.pointee.sendable == 0 else { return }
        whenSent = nil
        waiting()
    }
}
