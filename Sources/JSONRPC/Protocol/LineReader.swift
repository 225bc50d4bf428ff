import Glibc

// From bytes to requests: lines, batches, and where to go on after waiting.

extension Dispatcher {
    /// Carries out as many of the complete lines as may run now; returns how many bytes are done with.
    ///
    /// The bytes are changed in place and must stay as they are left until the rest of them comes again;
    /// `ByteBuffer.slack` bytes beyond them must be readable.
    func consume(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ connection: Connection) -> Int {
        let before = connection.outbox.pointee.inputDone
        var offset = 0
        var scanned = connection.scanned
        connection.scanned = 0
        while connection.canExecute {
            if connection.outbox.pointee.hasUnfinished {
                reportLostDescriptors(connection)
                if connection.batch != nil {
                    guard resumeBatch(bytes + offset, connection) else { break }
                    offset &+= finishBatch(connection)
                    continue
                }
            }
            let from = offset &+ scanned
            scanned = 0
            guard from < count, let end = memchr(bytes + from, 0x0a, count &- from) else {
                connection.scanned = count &- offset
                if count &- offset > limits.messageBytes { refuseLongLine(connection) }
                break
            }
            let length = UnsafePointer(end.assumingMemoryBound(to: UInt8.self)) - UnsafePointer(bytes + offset)
            guard length <= limits.messageBytes else {
                refuseLongLine(connection)
                break
            }
            connection.outbox.pointee.lineEnd = before &+ offset &+ length &+ 1
            guard line(bytes + offset, length, connection) else { break }
            offset &+= length &+ 1
        }
        if connection.isClosing { offset = count }
        connection.outbox.pointee.inputDone = before &+ offset
        return offset
    }

    /// For tests and in-process clients: carries out whole lines, each ended by `\n`; returns the bytes not yet done
    /// with.
    public func consume(_ bytes: [UInt8], from connection: Connection) -> [UInt8] {
        var buffer = ByteBuffer(capacity: bytes.count)
        defer { buffer.deallocate() }
        bytes.withUnsafeBufferPointer { bytes in
            if let base = bytes.baseAddress { buffer.append(base, bytes.count) }
        }
        let done = consume(buffer.base, buffer.count, connection)
        return Array(UnsafeBufferPointer(start: buffer.base + done, count: buffer.count - done))
    }

    /// Handles one line; `false` if it is a batch that has to wait.
    @inline(__always)
    private func line(_ text: UnsafeMutablePointer<UInt8>, _ length: Int, _ connection: Connection) -> Bool {
        var end = length
        if end > 0, text[end &- 1] == 0x0d { end &-= 1 }
        // Descriptors that come with nothing but white space are for the request that follows.
        guard end > 0, text[0] > 0x20 || !Self.isBlank(text, end) else { return true }
        text[end] = 0
        defer {
            if length > 1 << 16 { parser.pointee.trim() }
            connection.lineIsAnswered()
        }
        guard parser.pointee.parse(text, length: end) else {
            refuseSyntax(connection)
            return true
        }
        guard parser.pointee.nodes[0].kind == .array else {
            execute(0, text, connection)
            return true
        }
        return batch(text, end, consumed: length &+ 1, connection)
    }

    private static func isBlank(_ text: UnsafeMutablePointer<UInt8>, _ length: Int) -> Bool {
        UnsafeBufferPointer(start: text, count: length).allSatisfy { JSONBytes.isSpace($0) }
    }

    // MARK: Batches

    private func batch(
        _ text: UnsafeMutablePointer<UInt8>, _ length: Int, consumed: Int, _ connection: Connection
    ) -> Bool {
        let nodes = parser.pointee.nodes
        let count = Int(nodes[0].length)
        guard count > 0, count <= limits.batch else {
            let error =
                count == 0
                ? invalidRequest("the batch is empty", hint: "send at least one request in it")
                : invalidRequest(
                    "the batch has \(count) requests", hint: "send at most \(limits.batch) in one batch")
            refuse(error, connection)
            return true
        }
        connection.outbox.pointee.beginBatch()
        var cursor = 1
        let end = Int(nodes[0].next)
        while cursor < end {
            execute(cursor, text, connection)
            cursor = Int(nodes[cursor].next)
            guard cursor == end || connection.canExecute else {
                let quote = nodes[cursor].kind == .string ? 1 : 0
                let offset = Int(nodes[cursor].start) &- quote
                connection.batch = BatchCursor(lineLength: length, consumed: consumed, offset: offset)
                return false
            }
        }
        guard connection.parked == nil else {
            connection.batch = BatchCursor(lineLength: length, consumed: consumed, offset: length)
            return false
        }
        connection.outbox.pointee.endBatch()
        return true
    }

    /// Goes on with a batch whose text has been checked as a whole; `false` if it has to wait again.
    private func resumeBatch(_ text: UnsafeMutablePointer<UInt8>, _ connection: Connection) -> Bool {
        guard var cursor = connection.batch else { return true }
        while cursor.offset < cursor.lineLength, connection.canExecute {
            guard parser.pointee.parseValue(text, from: cursor.offset, length: cursor.lineLength) else {
                // It was parsed before: only the end of the array is no value.
                cursor.offset = cursor.lineLength
                break
            }
            cursor.offset = Self.afterComma(text, parser.pointee.position, cursor.lineLength)
            connection.batch = cursor
            execute(0, text, connection)
        }
        connection.batch = cursor
        return cursor.offset >= cursor.lineLength && connection.parked == nil
    }

    private static func afterComma(_ text: UnsafeMutablePointer<UInt8>, _ position: Int, _ length: Int) -> Int {
        var cursor = position
        while cursor < length, text[cursor] != UInt8(ascii: ","), text[cursor] != UInt8(ascii: "]") { cursor &+= 1 }
        return cursor < length && text[cursor] == UInt8(ascii: ",") ? cursor &+ 1 : length
    }

    private func finishBatch(_ connection: Connection) -> Int {
        let consumed = connection.batch?.consumed ?? 0
        connection.batch = nil
        connection.outbox.pointee.endBatch()
        connection.lineIsAnswered()
        parser.pointee.trim()
        return consumed
    }

    // MARK: Errors that belong to no request

    private func refuseSyntax(_ connection: Connection) {
        let problem = parser.pointee.problem ?? .unexpectedByte
        let isLimit = problem == .tooDeep
        let error = RPCError(
            code: isLimit ? RPCError.invalidRequest : RPCError.parseError, errno: isLimit ? E2BIG : EBADMSG,
            reason: isLimit ? "too_deep" : "parse_error",
            message: "the line is not acceptable JSON: \(problem.rawValue), at byte \(parser.pointee.position)",
            hint: isLimit ? "nest values less deeply" : "send one JSON value a line, in UTF-8")
        refuse(error.with("offset", .integer(parser.pointee.position)), connection)
    }

    private func refuseLongLine(_ connection: Connection) {
        let error = RPCError(
            code: RPCError.invalidRequest, errno: EMSGSIZE, reason: "line_too_long",
            message: "the line has more than \(limits.messageBytes) bytes, and the connection is closed",
            hint: "send shorter requests, or ask the administrator to raise limits.message_bytes")
        refuse(error, connection)
        connection.isClosing = true
    }

    private func reportLostDescriptors(_ connection: Connection) {
        guard connection.overflowed > 0 || connection.areDescriptorsLost, connection.batch == nil else { return }
        if connection.overflowed > 0 {
            let error = RPCError(
                errno: EMFILE, reason: "too_many_descriptors",
                message: "\(connection.overflowed) descriptors were closed: no more than \(limits.waitingDescriptors) "
                    + "may wait on a connection, and fewer where the user holds all that limits.descriptors allows",
                hint: "send each descriptor in the message of the request that takes it")
            connection.overflowed = 0
            refuse(error, connection)
        }
        if connection.areDescriptorsLost {
            connection.areDescriptorsLost = false
            let error = RPCError(
                errno: EMFILE, reason: "descriptors_lost",
                message: "not all descriptors sent could be received: the daemon has too many files open",
                hint: "close what is not needed, or raise the daemon's LimitNOFILE")
            refuse(error, connection)
        }
    }
}
