/// An answer, after which the connection ends.
struct HTTPResponse {
    private let status: String
    private let contentType: String
    private var allow: String?
    private let body: String

    /// Answers with the page that the client likes best, or says why there is none.
    init(to request: HTTPRequestHead, page: (ExpositionFormat) -> String) {
        guard Self.paths.contains(request.path) else {
            self.init("404 Not Found", "the metrics are at \(Self.paths[0])\n")
            return
        }
        guard request.method == "GET" || request.method == "HEAD" else {
            self.init("405 Method Not Allowed", "only GET and HEAD are answered here\n")
            allow = "GET, HEAD"
            return
        }
        let format = ExpositionFormat.preferred(accept: request.accept)
        self.init("200 OK", page(format), as: format.contentType)
    }

    private init(_ status: String, _ body: String, as contentType: String = "text/plain; charset=utf-8") {
        self.status = status
        self.body = body
        self.contentType = contentType
    }

    private static let paths = ["/metrics", "/"]

    /// There are no metrics: the daemon does not serve.
    static func unavailable(_ why: String) -> HTTPResponse { HTTPResponse("503 Service Unavailable", why) }

    static let malformed = HTTPResponse("400 Bad Request", "this is no HTTP/1 request\n")
    static let tooLarge = HTTPResponse("431 Request Header Fields Too Large", "the request's head is too large\n")

    /// - Parameter withoutBody: for HEAD, which gets the headers of GET.
    func bytes(withoutBody: Bool) -> [UInt8] {
        var head = "HTTP/1.1 \(status)\r\nContent-Type: \(contentType)\r\nContent-Length: \(body.utf8.count)\r\n"
        if let allow { head += "Allow: \(allow)\r\n" }
        head += "Connection: close\r\n\r\n"
        return Array((withoutBody ? head : head + body).utf8)
    }
}
