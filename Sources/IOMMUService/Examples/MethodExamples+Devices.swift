import JSONRPC

extension MethodExamples {
    /// The part of the conversation that is of devices, and of what an SMMU does for them.
    static let devices: [MethodExample] = [
        .init(
            "device.bind", "Take a device",
            #"{"name":"0000:01:00.0"}"#,
            #"{"device":3,"group":1}"#),
        .init(
            "device.hw_info", "What its SMMU can do",
            #"{"device":3}"#,
            #"""
            {"type":"arm_smmuv3","idr":["0x84d149b","0x2108410","0x0","0x1514","0x0","0x1000014"],"iidr":"0x0",
            "aidr":"0x2","flags":[],"capabilities":["dirty_tracking"],"max_pasid_log2":10}
            """#),
        .init(
            "device.attach", "To an address space",
            #"{"device":3,"pt":1}"#,
            #"{"hwpt":4}"#),
        .init(
            "dma.write", "By address of the device",
            #"{"device":3,"iova":"0x10000","data":"aGVsbG8="}"#,
            #"{"written":5}"#),
        .init(
            "dma.read", "What the device reads",
            #"{"device":3,"iova":"0x10000","length":5}"#,
            #"{"data":"aGVsbG8="}"#),
        .init(
            "smmu.translate", "Where an address leads, step by step",
            #"{"device":3,"iova":"0x10000","trace":true}"#,
            #"""
            {"pa":"0x10000000000","page_size":"0x1000","attributes":{"memory":"0xff","shareability":"inner",
            "read":true,"write":true,"execute":true},"cached":true,"steps":[{"stage":1,"level":0,
            "table":"0x100037000","index":0,"descriptor":"0x10003a003"}]}
            """#),
        .init(
            "smmu.ste", "The STE of a device",
            #"{"device":3}"#,
            #"""
            {"words":["0x500000010004000b","0x180000d6","0x0","0x0","0x0","0x0","0x0","0x0"],"fields":{"V":1,
            "Config":"0x5","S1Fmt":"0x0"}}
            """#),
        .init(
            "smmu.cd", "Its context descriptor",
            #"{"device":3}"#,
            #"""
            {"words":["0x1e204c0003510","0x100037000","0x0","0xfffffffff404ff44","0x0","0x0","0x0","0x0"],
            "fields":{"T0SZ":"0x10","TG0":"0x0","IR0":"0x1"}}
            """#),
        .init(
            "smmu.registers", "All registers",
            #"{"smmu":"smmu0"}"#,
            #"{"registers":{"IDR0":"0x84d149b","IDR1":"0x2108410","IDR2":"0x0"}}"#),
        .init(
            "smmu.commands", "The first command",
            #"{"smmu":"smmu0","since":0,"limit":1}"#,
            #"""
            {"commands":[{"sequence":1,"command":"CMD_CFGI_ALL","StreamID":"0x0","Range":"0x1f","words":["0x4",
            "0x1f"]}],"last":15}
            """#),
        .init(
            "smmu.events", "The latest events",
            #"{"smmu":"smmu0","limit":1}"#,
            #"{"events":[],"last":0}"#),
        .init(
            "smmu.cache", "What is cached",
            #"{"smmu":"smmu0","limit":1}"#,
            #"""
            {"tlb":{"hits":0,"misses":2,"evictions":0,"invalidations":0},"ste_cache":{"hits":4,"misses":1,
            "evictions":0,"invalidations":0},"cd_cache":{"hits":0,"misses":1,"evictions":0,"invalidations":0},
            "translations":[{"stage":1,"vmid":0,"asid":1,"input":"0x10000","output":"0x10000000000",
            "size":"0x1000","attributes":{"memory":"0xff","shareability":"inner","read":true,"write":true,
            "execute":true},"writable_clean":false}],"streams":[256],"contexts":[{"stream_id":256,
            "substream_id":0}]}
            """#),
    ]
}
