import JSONRPC

extension MethodExamples {
    /// The part of the conversation that is of page tables, guests and faults.
    static let tables: [MethodExample] = [
        .init(
            "device.replace", "To another address space, without a gap",
            #"{"device":3,"pt":2}"#,
            #"{"hwpt":5}"#),
        .init(
            "device.detach", "To nothing: its accesses are blocked",
            #"{"device":3}"#,
            #"{}"#),
        .init(
            "hwpt.alloc", "With dirty tracking",
            #"{"device":3,"pt":2,"flags":["dirty_tracking"]}"#,
            #"{"hwpt":4}"#),
        .init(
            "hwpt.set_dirty_tracking", "On",
            #"{"hwpt":4,"enable":true}"#,
            #"{}"#),
        .init(
            "hwpt.get_dirty_bitmap", "Which pages were written",
            #"{"hwpt":4,"iova":"0x10000","length":"0x1000","page_size":4096}"#,
            #"{"bitmap":"AA==","dirty":0}"#),
        .init(
            "object.destroy", "A hwpt that nothing uses any more",
            #"{"id":4}"#,
            #"{}"#),
        .init(
            "fault.alloc", "For page faults",
            #"{}"#,
            #"{"fault":4}"#),
        .init(
            "fault.read", "Those that wait",
            #"{"fault":4}"#,
            #"{"faults":[]}"#),
        .init(
            "fault.respond", "None of them",
            #"{"fault":4,"responses":[]}"#,
            #"{"handled":0}"#),
        .init(
            "hwpt.alloc", "Stage 2 of a guest",
            #"{"device":3,"pt":1,"flags":["nest_parent"]}"#,
            #"{"hwpt":5}"#),
        .init(
            "viommu.alloc", "The guest's SMMU",
            #"{"device":3,"hwpt":5,"type":"arm_smmuv3"}"#,
            #"{"viommu":6}"#),
        .init(
            "vdevice.alloc", "The device by the guest's StreamID",
            #"{"viommu":6,"device":3,"virt_id":16}"#,
            #"{"vdevice":7}"#),
        .init(
            "veventq.alloc", "For the guest's events",
            #"{"viommu":6,"type":"arm_smmuv3","depth":64}"#,
            #"{"veventq":8}"#),
        .init(
            "veventq.read", "Those that wait",
            #"{"veventq":8}"#,
            #"{"events":[]}"#),
        .init(
            "hwpt.invalidate", "CMD_TLBI_NSNH_ALL of the guest",
            #"{"target":6,"type":"arm_smmuv3","entries":[["0x30",0]]}"#,
            #"{"handled":1}"#),
    ]
}
