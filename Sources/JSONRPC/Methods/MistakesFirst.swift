// A request has to be right before its values are looked at: what is left unchecked behind a value that is well-formed
// but refused (EINVAL) is searched for mistakes (-32602), which are reported in its place.

extension ParameterSource {
    /// The member at `key` is not accepted.
    @inline(never)
    func checkRest(
        afterMember key: Int, _ end: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>, _ expected: Int
    ) -> Bool {
        let failure = program.pointee.failure
        guard failure.pointee.reason.isRefusal else { return false }
        let refusal = failure.pointee
        var expected = expected
        var cursor = Int(nodes[key &+ 1].next)
        while cursor < end {
            if !acceptMember(cursor, type, &expected), !failure.pointee.reason.isRefusal { return false }
            cursor = Int(nodes[cursor &+ 1].next)
        }
        if requireAll(type) { failure.pointee = refusal }
        return false
    }

    /// An element of an array, the `position`-th, is not accepted: the one at `element`, or that after `count` others
    /// of the run there.
    @inline(never)
    func checkRest(of element: Int, after count: Int, at position: Int, _ end: Int, _ type: Int) -> Bool {
        let failure = program.pointee.failure
        failure.pointee.within(element: position)
        guard failure.pointee.reason.isRefusal else { return false }
        let refusal = failure.pointee
        var current = position &- count
        eachElement(from: element, to: end) { source, node in
            defer { current &+= 1 }
            var slot = ParameterSlot(bits: 0, node: 0)
            guard current > position, !source.accept(node, type, &slot), !failure.pointee.reason.isRefusal else {
                return true
            }
            failure.pointee.within(element: current)
            return false
        }
        if failure.pointee.reason.isRefusal { failure.pointee = refusal }
        return false
    }
}
