// Elements of arrays, many of which the scan has found to be like the one before; see `ElementRun`. Of those only the
// numbers that vary are looked at, if they are integers to the type of the elements as well.

extension ParameterSource {
    /// Checks the elements of an array.
    func acceptElements(_ index: Int, _ type: Int) -> Bool {
        let end = Int(nodes[index].next)
        var (cursor, model, position) = (index &+ 1, 0, 0)
        while cursor < end {
            var accepted = 0
            if nodes[cursor].kind == .run {
                guard acceptRun(cursor, model, type, &accepted) else {
                    return checkRest(of: cursor, after: accepted, at: position &+ accepted, end, type)
                }
            } else {
                var element = ParameterSlot(bits: 0, node: 0)
                guard accept(cursor, type, &element) else {
                    return checkRest(of: cursor, after: 0, at: position, end, type)
                }
                (model, accepted) = (cursor, 1)
            }
            cursor = Int(nodes[cursor].next)
            position &+= accepted
        }
        return true
    }

    /// Calls `body` with each element from the one at `cursor` on, until it returns `false`: those of a run on a tape
    /// of their own.
    func eachElement(from cursor: Int, to end: Int, _ body: (ParameterSource, Int) -> Bool) {
        var cursor = cursor
        while cursor < end {
            if nodes[cursor].kind == .run {
                guard expand(cursor, { body($0, ElementRun.expandedNode) }) else { return }
            } else {
                guard body(self, cursor) else { return }
            }
            cursor = Int(nodes[cursor].next)
        }
    }

    private func expand(_ run: Int, _ body: (ParameterSource) throws -> Bool) rethrows -> Bool {
        try ElementRun(nodes + run).expand(text) { nodes in
            try body(ParameterSource(slots: slots, nodes: nodes, text: text, program: program))
        }
    }

    // MARK: Checking

    /// Checks the elements of a run that are like the one at `model`.
    private func acceptRun(_ index: Int, _ model: Int, _ type: Int, _ accepted: inout Int) -> Bool {
        let run = ElementRun(nodes + index)
        if nodes[index].escaped {
            accepted = run.count
            return true
        }
        if readNumbers(run, model, program.pointee.types + type) {
            nodes[index].escaped = true
            accepted = run.count
            return true
        }
        // Something is wrong with one of them, or the numbers are no integers to the type.
        return expand(index) { source in
            var element = ParameterSlot(bits: 0, node: 0)
            guard source.accept(ElementRun.expandedNode, type, &element) else { return false }
            accepted &+= 1
            return true
        }
    }

    /// Reads the numbers that vary into the room for their values; `false` with nothing changed if one of them is not
    /// acceptable, or more than an integer is to be made of it.
    @inline(never)
    private func readNumbers(
        _ run: ElementRun, _ model: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Bool {
        for index in 0..<run.varying {
            guard let (number, _) = integer(run.numbers[index], of: model, type) else { return false }
            guard read(run, index, number) else { return false }
        }
        for index in 0..<run.varying {
            let number = run.numbers + index
            guard let (_, slot) = integer(number.pointee, of: model, type) else { return false }
            // From here on it says where the value goes, and for arrays what the model has there.
            number.pointee.bits = type.pointee.kind == .array ? nodes[model &+ Int(number.pointee.next)].bits : slot
        }
        return true
    }

    /// The type of a number that varies and the slot it goes to; `nil` if it is not read as an integer.
    private func integer(
        _ number: JSONNode, of model: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> (UnsafeMutablePointer<SchemaProgram.TypeRecord>, slot: UInt64)? {
        let types = program.pointee.types
        let value: UnsafeMutablePointer<SchemaProgram.TypeRecord>
        var slot: UInt64 = 0
        switch type.pointee.kind {
        case .object:
            // Checking the model has left the number of the field in the key's node.
            let field = Int(nodes[model &+ Int(number.next) &- 1].length)
            guard field < type.pointee.count else { return nil }
            let record = program.pointee.fields + (type.pointee.first &+ field)
            value = types + record.pointee.type
            slot = UInt64(record.pointee.slot)
        case .array: value = types + type.pointee.first
        default: return nil
        }
        switch value.pointee.kind {
        case .unsigned, .id: return number.length <= 16 ? (value, slot) : nil
        default: return nil
        }
    }

    /// Reads one of the numbers of all elements. The scan has found them to be digits like those of an integer that was
    /// accepted.
    @inline(__always)
    private func read(
        _ run: ElementRun, _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Bool {
        let number = run.numbers[index]
        let (low, high) = (type.pointee.low, type.pointee.high)
        let limit = type.pointee.kind == .id ? UInt64(UInt32.max) : .max
        var digits = UnsafePointer(text + (run.start &+ Int(number.start)))
        var value = run.values + index
        for _ in 0..<run.count {
            let bits = JSONInteger.known(digits, Int(number.length), isHexadecimal: number.kind == .string)
            guard bits >= low, bits <= high else { return false }
            value.initialize(to: min(bits, limit))
            digits += run.stride
            value += run.varying
        }
        return true
    }

    // MARK: Reading

    /// Calls `body` with each element of a checked run, like the one at `model`.
    @inline(__always)
    func readRun(
        _ index: Int, _ model: Int, _ type: Int, _ body: (ParameterSource, ParameterSlot) throws -> Void
    ) rethrows {
        let run = ElementRun(nodes + index)
        guard nodes[index].escaped else { return try readInFull(index, type, body) }
        var element = ParameterSlot(bits: 0, node: 0)
        // All that does not vary is as the model has it.
        _ = accept(model, type, &element)
        let isArray = nodes[model].kind == .array
        var value = UnsafePointer(run.values)
        defer { if isArray { restore(model, run) } }
        for _ in 0..<run.count {
            for number in UnsafeBufferPointer(start: run.numbers, count: run.varying) {
                if isArray {
                    nodes[model &+ Int(number.next)].bits = value.pointee
                } else {
                    slots[Int(number.bits)].bits = value.pointee
                }
                value += 1
            }
            try body(self, element)
        }
    }

    /// After the elements of a run were read in the nodes of the array they are like.
    private func restore(_ model: Int, _ run: ElementRun) {
        for number in UnsafeBufferPointer(start: run.numbers, count: run.varying) {
            nodes[model &+ Int(number.next)].bits = number.bits
        }
    }

    @inline(never)
    private func readInFull(
        _ run: Int, _ type: Int, _ body: (ParameterSource, ParameterSlot) throws -> Void
    ) rethrows {
        _ = try expand(run) { source in
            var element = ParameterSlot(bits: 0, node: 0)
            // Checked before the handler ran: reading it again cannot fail.
            _ = source.accept(ElementRun.expandedNode, type, &element)
            try body(source, element)
            return true
        }
    }
}
