extension Identification {
    /// Refuses what the model cannot honour, naming the field.
    func validate() throws(IdentificationError) {
        try validateIDR0()
        try validateIDR1()
        try validateIDR3()
        try validateIDR5()
        try require(AIDR >> 4 == 0 && (1...4).contains(AIDR & 0xf), "AIDR", AIDR, "0x1...0x4, SMMUv3.1 to SMMUv3.4")
    }

    private func validateIDR0() throws(IdentificationError) {
        try require(IDR0 & 0b11 != 0, "IDR0.S1P", 0, "S1P or S2P must be 1")
        try require(field(IDR0, 3, 2) == 0b10, "IDR0.TTF", field(IDR0, 3, 2), "0b10, AArch64 tables")
        try require(field(IDR0, 7, 6) != 0b11, "IDR0.HTTU", 0b11, "0b00, 0b01 or 0b10")
        try zero(IDR0, 15, "IDR0.ATOS")
        try zero(IDR0, 20, "IDR0.VATOS")
        try require(
            field(IDR0, 16, 16) == 0 || field(IDR0, 10, 10) == 1, "IDR0.PRI", 1, "PRI needs ATS = 1")
        try require(field(IDR0, 22, 21) == 0b10, "IDR0.TTENDIAN", field(IDR0, 22, 21), "0b10, little-endian tables")
        try require(field(IDR0, 25, 24) != 0b11, "IDR0.STALL_MODEL", 0b11, "0b00, 0b01 or 0b10")
        try require(field(IDR0, 28, 27) < 2, "IDR0.ST_LEVEL", field(IDR0, 28, 27), "0b00 or 0b01")
        try zero(IDR0, 30, "IDR0.RME_IMPL")
    }

    private func validateIDR1() throws(IdentificationError) {
        try zero(IDR1, 31, "IDR1.ECMDQ")
        try zero(IDR1, 30, "IDR1.TABLES_PRESET")
        try zero(IDR1, 29, "IDR1.QUEUES_PRESET")
        try zero(IDR1, 28, "IDR1.REL")
        try require(field(IDR1, 25, 21) <= 19, "IDR1.CMDQS", field(IDR1, 25, 21), "at most 19")
        try require(field(IDR1, 20, 16) <= 19, "IDR1.EVENTQS", field(IDR1, 20, 16), "at most 19")
        try require(field(IDR1, 15, 11) <= 19, "IDR1.PRIQS", field(IDR1, 15, 11), "at most 19")
        try require(field(IDR1, 10, 6) <= 20, "IDR1.SSIDSIZE", field(IDR1, 10, 6), "at most 20")
        try require(field(IDR1, 5, 0) <= 32, "IDR1.SIDSIZE", field(IDR1, 5, 0), "at most 32")
    }

    private func validateIDR3() throws(IdentificationError) {
        try zero(IDR3, 7, "IDR3.MPAM")
        try require(field(IDR3, 12, 11) != 0b11, "IDR3.BBML", 0b11, "0b00, 0b01 or 0b10")
        try zero(IDR3, 15, "IDR3.DPT")
        try zero(IDR3, 16, "IDR3.PASIDTT")
        try zero(IDR3, 18, "IDR3.S1PI")
        try zero(IDR3, 19, "IDR3.S2PI")
        try zero(IDR3, 20, "IDR3.S2PO")
        try zero(IDR3, 21, "IDR3.THE")
        try zero(IDR3, 22, "IDR3.MTEPERM")
        try zero(IDR3, 23, "IDR3.AIE")
    }

    private func validateIDR5() throws(IdentificationError) {
        try require(field(IDR5, 6, 4) != 0, "IDR5.GRAN4K", 0, "at least one granule")
        try require(field(IDR5, 2, 0) <= 6, "IDR5.OAS", 7, "at most 0b110, 52 bits")
        try zero(IDR5, 7, "IDR5.DS")
        try zero(IDR5, 8, "IDR5.D128")
        try require(field(IDR5, 11, 10) < 2, "IDR5.VAX", field(IDR5, 11, 10), "0b00 or 0b01")
        try require(
            field(IDR0, 25, 24) == 0b01 || field(IDR5, 31, 16) != 0, "IDR5.STALL_MAX", 0,
            "at least 1 where IDR0.STALL_MODEL allows stalls")
    }

    private func field(_ word: UInt32, _ high: Int, _ low: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: UInt64(word).bits(high, low))
    }

    private func zero(_ word: UInt32, _ position: Int, _ name: String) throws(IdentificationError) {
        try require(field(word, position, position) == 0, name, 1, "0, the model does not implement it")
    }

    private func require(
        _ condition: Bool, _ name: String, _ value: UInt32, _ accepted: String
    ) throws(IdentificationError) {
        guard condition else {
            throw IdentificationError(field: name, value: value, explanation: "the model accepts \(accepted)")
        }
    }
}
