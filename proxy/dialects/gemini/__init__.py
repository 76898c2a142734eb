"""Google's Gemini: `generateContent` at AI Studio and at Vertex."""
