/// What there is to read of an element that is like the one before it: the values that vary, and where they go.
struct ElementPlan {
    struct Step {
        /// Index of the value's node, counted from the element's.
        var node = 0
        var type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
        /// Where the value goes; -1 for an element of an array, which stays in its node.
        var slot = -1
        /// The value in the last element.
        var bits: UInt64 = 0
    }

    /// The element that others are like; 0 for none.
    fileprivate(set) var model = 0
    /// Number of steps; -1 where elements have to be accepted in full all the same.
    private(set) var count = -1
    /// The elements are arrays of integers, not objects.
    private(set) var isForArrays = false
    let steps = UnsafeMutablePointer<Step>.allocate(capacity: ElementTemplate.maximumValues)

    func deallocate() { steps.deallocate() }

    fileprivate mutating func begin(_ model: Int, isForArrays: Bool) {
        (self.model, self.isForArrays, count) = (model, isForArrays, 0)
    }

    fileprivate mutating func giveUp() { count = -1 }

    fileprivate mutating func add(_ step: Step) {
        (steps + count).initialize(to: step)
        count &+= 1
    }
}

// MARK: - Elements that the scan found alike

extension ParameterSource {
    /// Checks the elements of an array.
    func acceptElements(_ index: Int, _ type: Int) -> Bool {
        let end = Int(nodes[index].next)
        var (cursor, model, position) = (index &+ 1, 0, 0)
        while cursor < end {
            if nodes[cursor].likeness == .alike {
                let count = acceptAlike(cursor, end, model, type)
                cursor &+= count &* (Int(nodes[model].next) &- model)
                position &+= count
                guard cursor < end else { break }
            }
            var element = ParameterSlot(bits: 0, node: 0)
            guard accept(cursor, type, &element) else {
                return checkRest(afterElement: cursor, at: position, end, type)
            }
            (model, program.pointee.plan.pointee.model) = (cursor, 0)
            cursor = Int(nodes[cursor].next)
            position &+= 1
        }
        return true
    }

    /// Reads a checked element once more, into its fields' slots.
    ///
    /// - Parameter model: The last element that was read in full; 0 at first.
    @inline(__always)
    func reread(_ element: Int, _ type: Int, _ model: inout Int, _ slot: inout ParameterSlot) {
        guard nodes[element].likeness != .checked else { return fillSlots(element, model, type) }
        if nodes[element].kind == .array, nodes[element].escaped {
            // An array of integers: they are in their nodes.
            let integers = program.pointee.types[type].first
            slot = ParameterSlot(bits: UInt64(integers), node: UInt32(truncatingIfNeeded: element))
            return
        }
        // Checked before the handler ran: reading it again cannot fail.
        _ = accept(element, type, &slot)
        (model, program.pointee.plan.pointee.model) = (element, 0)
    }

    /// How elements like the accepted one at `model` are read.
    @inline(__always)
    private func plan(for model: Int, _ type: Int) -> UnsafeMutablePointer<ElementPlan> {
        let plan = program.pointee.plan
        if plan.pointee.model != model { make(plan, for: model, program.pointee.types + type) }
        return plan
    }

    @inline(never)
    private func make(
        _ plan: UnsafeMutablePointer<ElementPlan>, for model: Int,
        _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) {
        plan.pointee.begin(model, isForArrays: type.pointee.kind == .array)
        var cursor = model &+ 1
        while cursor < Int(nodes[model].next) {
            let key = cursor
            if type.pointee.kind == .object { cursor &+= 1 }
            if nodes[cursor].variation != 0 {
                guard let step = step(cursor, of: model, key: key, type) else { return plan.pointee.giveUp() }
                plan.pointee.add(step)
            }
            cursor = Int(nodes[cursor].next)
        }
        // Only integers stay in the nodes of an array.
        if plan.pointee.isForArrays, plan.pointee.count != Int(nodes[model].length) { plan.pointee.giveUp() }
    }

    /// How the value at `value` is read; `nil` if by more than converting an integer.
    private func step(
        _ value: Int, of element: Int, key: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> ElementPlan.Step? {
        var step = ElementPlan.Step(node: value &- element, type: type, bits: nodes[value].bits)
        switch type.pointee.kind {
        case .object:
            let number = Int(nodes[key].length)
            guard number < type.pointee.count else { return nil }
            let field = program.pointee.fields + (type.pointee.first &+ number)
            step.slot = field.pointee.slot
            step.type = program.pointee.types + field.pointee.type
        case .array:
            step.type = program.pointee.types + type.pointee.first
        default: return nil
        }
        switch step.type.pointee.kind {
        case .unsignedOrHex, .unsigned, .id: return step
        default: return nil
        }
    }

    /// Checks elements that are like the one at `model`, as far as the next that is not or that has to be accepted in
    /// full, which says what is wrong with it; returns how many.
    @inline(never)
    private func acceptAlike(_ first: Int, _ end: Int, _ model: Int, _ type: Int) -> Int {
        let plan = plan(for: model, type).pointee
        guard plan.count >= 0 else { return 0 }
        let size = Int(nodes[model].next) &- model
        var count = 0
        for element in stride(from: nodes + first, to: nodes + end, by: size) {
            guard element.pointee.likeness == .alike, acceptValues(element, plan) else { break }
            if plan.isForArrays {
                // As `acceptIntegers` leaves them.
                for step in plan.steps..<plan.steps + plan.count {
                    element[step.pointee.node].bits = step.pointee.bits
                }
                element.pointee.escaped = true
                element.pointee.likeness = .none
            } else {
                element.pointee.likeness = .checked
            }
            count &+= 1
        }
        return count
    }

    /// Leaves the values that differ from those of the element before in their nodes. `false` with nothing changed if
    /// one of them is not acceptable.
    @inline(__always)
    private func acceptValues(_ element: UnsafeMutablePointer<JSONNode>, _ plan: ElementPlan) -> Bool {
        var variation = element.pointee.variation
        while variation != 0 {
            let step = plan.steps + variation.trailingZeroBitCount
            guard let bits = integer(element[step.pointee.node], step.pointee.type) else { return false }
            step.pointee.bits = bits
            variation &= variation &- 1
        }
        variation = plan.isForArrays ? 0 : element.pointee.variation
        while variation != 0 {
            let step = plan.steps + variation.trailingZeroBitCount
            element[step.pointee.node].bits = step.pointee.bits
            variation &= variation &- 1
        }
        return true
    }

    /// The value of a node that the scan has found to be digits like those of an integer that was accepted.
    @inline(__always)
    private func integer(_ node: JSONNode, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>) -> UInt64? {
        let isHexadecimal = node.kind == .string
        let prefix = isHexadecimal ? 2 : 0
        guard
            let bits = JSONInteger.known(
                text + (Int(node.start) &+ prefix), Int(node.length) &- prefix, isHexadecimal: isHexadecimal),
            bits >= type.pointee.low, bits <= type.pointee.high
        else { return nil }
        return type.pointee.kind == .id ? min(bits, UInt64(UInt32.max)) : bits
    }

    /// All other fields are as the element before has left them.
    @inline(__always)
    private func fillSlots(_ element: Int, _ model: Int, _ type: Int) {
        let plan = plan(for: model, type)
        var variation = plan.pointee.count < 0 ? 0 : nodes[element].variation
        while variation != 0 {
            let step = plan.pointee.steps + variation.trailingZeroBitCount
            slots[step.pointee.slot].bits = nodes[element &+ step.pointee.node].bits
            variation &= variation &- 1
        }
    }
}
