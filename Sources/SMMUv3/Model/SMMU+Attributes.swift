/// Memory types of outputs (13).
extension SMMU {
    /// Lets the type of a stage 2 leaf act on that of stage 1, or on that which the transaction brings along.
    @inline(__always)
    func combine(_ leaf: inout Mapping, _ type: UInt8, _ shareability: UInt8) {
        let (first, second) = (
            MemoryAttributes.consistentShareability(type, shareability),
            MemoryAttributes.consistentShareability(leaf.memoryAttributes, leaf.shareability)
        )
        leaf.shareability = MemoryAttributes.combineShareability(first, second)
        guard !leaf.replacesType else {
            leaf.memoryAttributes = MemoryAttributes.forcedWriteBack(type)
            return
        }
        leaf.memoryAttributes =
            leaf.memoryAttributes == MemoryAttributes.writeBack
            ? type : MemoryAttributes.combine(type, leaf.memoryAttributes)
    }

    /// An output with the hints that the transaction came with taken into account.
    @inline(__always)
    func withHints(_ output: Output, _ context: UnsafePointer<StreamContext>) -> Output {
        guard context.pointee.combinesHints else {
            return output
        }
        var combined = output
        combined.attributes = output.attributes.with(
            memoryAttributes: MemoryAttributes.combineHints(
                output.attributes.memoryAttributes, input: context.pointee.input.type))
        return combined
    }

    /// An address that nothing translates.
    func bypass(_ address: UInt64, _ input: InputAttributes) -> Output {
        Output(
            address: address, pageSize: 0,
            attributes: OutputAttributes(
                memoryAttributes: input.type, shareability: input.shareability, permissions: 0b111), isCached: false)
    }
}
