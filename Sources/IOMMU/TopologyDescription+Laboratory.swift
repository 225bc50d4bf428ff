extension TopologyDescription {
    /// The machine that the emulated backend builds where no file describes one; `Config/lab.toml` says the same.
    ///
    /// Two SMMUs that differ in BTM, and one device for each behaviour worth trying: PASIDs with PRI, a group of two,
    /// stall with a linear CD table, a reserved region, stall with a two-level CD table, an accelerator.
    package static var laboratory: TopologyDescription {
        var withBroadcast = SMMUDescription(name: "smmu1")
        withBroadcast.broadcastTLB = true
        return TopologyDescription(
            smmus: [SMMUDescription(name: "smmu0"), withBroadcast],
            devices: [
                device("0000:01:00.0", 0x100) {
                    $0.pasidBits = 10
                    $0.pri = true
                    $0.ats = true
                },
                device("0000:02:00.0", 0x200) { $0.group = "pair" },
                device("0000:02:00.1", 0x201) { $0.group = "pair" },
                device("0000:03:00.0", 0x300) {
                    $0.pasidBits = 8
                    $0.stall = true
                },
                device("0000:04:00.0", 0x400) {
                    if let range = AddressRange(start: 0x4000_0000, last: 0x400f_ffff) {
                        $0.reserved = [ReservedRegion(range: range, kind: .reserved)]
                    }
                },
                device("0000:05:00.0", 0x500) {
                    $0.pasidBits = 16
                    $0.stall = true
                },
                device("uacce0", 0x1000) {
                    $0.bus = .platform
                    $0.pasidBits = 8
                    $0.stall = true
                    $0.queues = 64
                    $0.algorithms = ["copy", "fill", "checksum"]
                },
                device("0001:01:00.0", 0x100, smmu: "smmu1") {
                    $0.pasidBits = 10
                    $0.stall = true
                },
            ])
    }

    private static func device(
        _ name: String, _ streamID: UInt32, smmu: String = "smmu0", _ configure: (inout DeviceDescription) -> Void
    ) -> DeviceDescription {
        var device = DeviceDescription(name: name, smmu: smmu, streamIDs: [streamID])
        configure(&device)
        return device
    }
}
