/// Registers of bare SMMUs.
extension Refusals {
    static let registers = Refusals(
        unknownVSMMU,
        Refusals(.EINVAL, .badWidth, "Registers cannot be accessed with `size` bytes."),
        Refusals(.EINVAL, .misalignedRegister, "`offset` is not a multiple of `size`."))
}
