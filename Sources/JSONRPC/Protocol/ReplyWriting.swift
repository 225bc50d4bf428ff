extension Connection {
    /// Writes one result reply; nothing of it stays if `body` throws.
    @inline(__always)
    func writeReply(
        id: UnsafePointer<UInt8>, _ length: Int, method: Int, _ dispatcher: Unmanaged<Dispatcher>,
        _ body: (JSONWriter) throws -> Void
    ) rethrows {
        let outbox = outbox
        let mark = outbox.pointee.mark
        outbox.pointee.open(id: id, length)
        outbox.pointee.bytes.pointee.append(",\"result\":")
        let start = outbox.pointee.bytes.pointee.count
        do {
            try body(JSONWriter(outbox.pointee.bytes))
        } catch {
            outbox.pointee.rollBack(to: mark)
            throw error
        }
        if outbox.pointee.attachedCount > 0 { appendDescriptorCount() }
        #if DEBUG
            let dispatcher = dispatcher.takeUnretainedValue()
            if let mismatch = dispatcher.mismatch(outbox.pointee.bytes.pointee, from: start, method: method) {
                outbox.pointee.rollBack(to: mark)
                dropAttached()
                return writeError(mismatch, id: id, length, method: dispatcher.declarations[method].title)
            }
        #endif
        outbox.pointee.close()
        if outbox.pointee.attachedCount > 0 { bindAttached(from: mark.count) }
    }

    /// Writes one error reply.
    func writeError(_ error: RPCError, id: UnsafePointer<UInt8>, _ length: Int, method: String?) {
        outbox.pointee.open(id: id, length)
        outbox.pointee.bytes.pointee.append(",\"error\":")
        error.write(to: JSONWriter(outbox.pointee.bytes), method: method)
        outbox.pointee.close()
    }

    /// Writes an error that belongs to no request.
    func writeError(_ error: RPCError) {
        let id: StaticString = "null"
        writeError(error, id: id.utf8Start, id.utf8CodeUnitCount, method: nil)
    }

    /// Adds `"fds": N` to the result object just written.
    private func appendDescriptorCount() {
        outbox.pointee.bytes.pointee.count &-= 1
        let json = JSONWriter(outbox.pointee.bytes)
        json.key("fds")
        json.integer(outbox.pointee.attachedCount)
        outbox.pointee.bytes.pointee.append(UInt8(ascii: "}"))
    }
}
