import JSONRPC

/// What many tests begin with.
extension MethodCaller {
    /// Binds a device of the laboratory. - Returns: its object.
    package func bind(_ name: String) throws -> Int { try id("device.bind", #"{"name":"\#(name)"}"#, "device") }

    /// Binds a device and attaches it to an IOAS that has the memory, 64 KiB of it, at 0x10000. - Returns: its object.
    package func attachedDevice(_ name: String, _ memory: SharedMemory) throws -> Int {
        let object = try importMemory(memory)
        let ioas = try id("ioas.alloc", "{}", "ioas")
        try call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(object),"length":65536,"iova":"0x10000"}"#)
        let device = try bind(name)
        try call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        return device
    }

    /// A device whose accesses wait for their pages, on an hwpt with a fault queue; and memory that pages can be of.
    /// All of it is in a session that the other connection shares.
    package func stallingDevice(
        sharedWith other: Self
    ) throws -> (device: Int, ioas: Int, fault: Int, memory: Int) {
        for connection in [self, other] { try connection.call("session.attach", #"{"name":"shared"}"#) }
        let memory = try id("memory.create", #"{"size":65536}"#, "memory")
        let ioas = try id("ioas.alloc", "{}", "ioas")
        let device = try bind("0000:03:00.0")
        let fault = try id("fault.alloc", "{}", "fault")
        let hwpt = try id("hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"fault":\#(fault)}"#, "hwpt")
        try call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
        return (device, ioas, fault, memory)
    }

    /// An IOAS with a 64 KiB memory object filled with one byte, mapped at 0x10000.
    package func space(filledWith byte: UInt8) throws -> (ioas: Int, memory: Int) {
        let memory = try id("memory.create", #"{"size":65536}"#, "memory")
        let data = String(repeating: Character(Unicode.Scalar(byte)), count: 65536).base64
        try call("memory.write", #"{"memory":\#(memory),"data":"\#(data)"}"#)
        let ioas = try id("ioas.alloc", "{}", "ioas")
        try call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(memory),"length":65536,"iova":"0x10000"}"#)
        return (ioas, memory)
    }

    /// What a device reads at 0x10000.
    package func readByte(_ device: Int, pasid: Int? = nil) throws -> UInt8 {
        let tag = pasid.map { #","pasid":\#($0)"# } ?? ""
        let reply = try call("dma.read", #"{"device":\#(device),"iova":"0x10000","length":1\#(tag)}"#)
        guard let byte = reply["data"]?.stringValue?.bytesOfBase64?.first else { throw Unexpected(reply.text) }
        return byte
    }
}
