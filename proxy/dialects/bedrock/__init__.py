"""Amazon Bedrock's Converse and ConverseStream: one conversation for models of many authors."""
